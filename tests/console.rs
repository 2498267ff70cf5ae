//! Sessions of a person with rules: the interactive rule, the console's lists
//! and the debugger, at a terminal (a pty) and through a pipe.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use rexpect::reader::Options;
use rexpect::session::{PtySession, spawn_with_options};
use tempfile::TempDir;

/// Stops at the third packet, with a local to be looked at and changed.
const STOPS: &str = "require('protocol/ipv4')
require('protocol/tcp_connection')
local count = 0
haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet, name = 'counting',
  eval = function (pkt)
    count = count + 1
    local note = 'unset'
    if count == 3 then
      debug.interactive.enter('at>  ', 'at>> ', 'third packet')
      print('note is ' .. note .. ', count is ' .. count)
    end
  end
}
";

const INTERACTIVE: &str = "require('protocol/ipv4')
require('protocol/tcp_connection')
haka.rule {
  on = haka.dissectors.tcp_connection.events.new_connection,
  eval = haka.interactive_rule('new')
}
";

/// Line numbers count: the debugger's tests name them.
const DEBUGGED: &str = "require('protocol/ipv4')
local count = 0

local function double(n)
  local twice = n * 2
  return twice
end

haka.rule {
  on = haka.dissectors.ipv4.events.receive_packet,
  eval = function (pkt)
    count = count + 1
    local len = double(pkt.len)
    if count == 2 then
      print(pkt.destport)
    end
    len = nil
  end
}
";

const CAPTURE: &str = "stream-plain-v4.pcap";

/// A folder with a rule file in it.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn with(rule: &str) -> Bench {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        fs::write(folder.path().join("rule.lua"), rule).expect("the folder is writable");
        Bench { folder }
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wero"));
        command
            .current_dir(self.folder.path())
            .env("TERM", "xterm")
            .env("NO_COLOR", "1")
            .arg("replay")
            .args(options)
            .arg("rule.lua")
            .arg(capture());
        command
    }

    /// The rule with these lines at standard input, which is a pipe.
    fn pipe(&self, options: &[&str], lines: &str) -> Output {
        piped(self.command(options), lines)
    }

    /// The rule at a terminal.
    fn pty(&self, options: &[&str], prompt: &'static str) -> Terminal {
        let settings = Options::new()
            .timeout_ms(Some(30_000))
            .strip_ansi_escape_codes(true);
        let session = spawn_with_options(self.command(options), settings);
        Terminal {
            session: session.expect("a pty can be made"),
            prompt,
        }
    }
}

fn piped(mut command: Command, lines: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    let mut input = child.stdin.take().expect("it is a pipe");
    input
        .write_all(lines.as_bytes())
        .expect("the lines fit into the pipe");
    drop(input);
    child.wait_with_output().expect("the program ends")
}

fn capture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/captures")
        .join(CAPTURE)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Asserts that the parts stand in the text, in this order.
#[track_caller]
fn in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => panic!("{part:?} does not follow in\n{text}"),
        }
    }
}

struct Terminal {
    session: PtySession,
    prompt: &'static str,
}

impl Terminal {
    /// Waits until `wanted` is on the screen.
    #[track_caller]
    fn sees(&mut self, wanted: &str) -> &mut Terminal {
        let seen = self.session.exp_string(wanted);
        seen.unwrap_or_else(|error| panic!("waiting for {wanted:?}: {error}"));
        self
    }

    /// Types a line at the prompt. The editor draws prompt and line again and
    /// again until the line has ended.
    #[track_caller]
    fn types(&mut self, line: &str) -> &mut Terminal {
        self.at_prompt().keys(line).keys("\r").sees("\n")
    }

    #[track_caller]
    fn at_prompt(&mut self) -> &mut Terminal {
        self.sees(self.prompt)
    }

    /// Keys without a line end.
    #[track_caller]
    fn keys(&mut self, keys: &str) -> &mut Terminal {
        self.session.send(keys).expect("the program reads");
        self.session.flush().expect("the program reads");
        self
    }

    #[track_caller]
    fn ends(&mut self) {
        self.session.exp_eof().expect("the program ends");
    }
}

const UP: &str = "\x1b[A";
const END_OF_INPUT: &str = "\x04";
const INTERRUPT: &str = "\x03";

#[test]
fn an_interactive_rule_shows_its_inputs_and_answers() {
    let bench = Bench::with(INTERACTIVE);
    let run = bench.pipe(&[], "inputs[1].srcip\ninputs[2].dstport, nil\n");
    in_order(
        &text(&run.stdout),
        &[
            "interactive rule:\ninputs = table {\n  1 : class tcp_connection {\n",
            "    dstport : 7000\n",
            "  2 : userdata tcp {\n",
            "Hit ^D to end the interactive session\n",
            "new>  inputs[1].srcip\n  #1\tuserdata addr 10.1.0.7\n",
            "new>  inputs[2].dstport, nil\n  #1\t7000\n  #2\tnil\n",
            "new>  \n",
        ],
    );
    assert!(run.status.success());
}

#[test]
fn what_is_typed_acts_on_the_packet() {
    let bench = Bench::with(INTERACTIVE);
    let run = bench.pipe(&["--drops"], "inputs[2]:drop()\nreturn\ninputs\n");
    let told = text(&run.stderr);
    assert!(
        told.contains("frame 1: dropped, rule by rule.lua:3"),
        "{told}"
    );
    // The rest of the input was for further sessions.
    assert!(!text(&run.stdout).contains("new>  inputs\n"));
}

#[test]
fn locals_and_upvalues_of_the_caller_are_read_and_assigned() {
    let run = Bench::with(STOPS).pipe(&[], "note\nnote = 'seen'\ncount = count + 40\n");
    in_order(
        &text(&run.stdout),
        &[
            "third packet\nHit ^D to end the interactive session\n",
            "at>  note\n  #1\t\"unset\"\n",
            "note is seen, count is 43\n",
        ],
    );
}

#[test]
fn incomplete_lines_go_on_and_wrong_ones_are_told() {
    let run = Bench::with(STOPS).pipe(&[], "{\n1 }\nfoo.bar\n= 3\nerror({})\nnil + 1\nif true\n");
    in_order(
        &text(&run.stdout),
        &[
            "at>  {\nat>> 1 }\n  #1\ttable {\n\t  1 : 1\n\t}\n",
            "stdin:1: attempt to index global 'foo' (a nil value)\n",
            "stdin:1: unexpected symbol near '='\n",
            "table: 0x",
            "stdin:1: attempt to perform arithmetic on a nil value\n",
            "at>  if true\nat>> \nstdin:1: 'then' expected near '<eof>'\n",
            "note is unset",
        ],
    );
}

#[test]
fn a_session_ends_with_return() {
    let run = Bench::with(STOPS).pipe(&[], "return count, 'x'\nnote = 'late'\n");
    in_order(
        &text(&run.stdout),
        &[
            "at>  return count, 'x'\n  #1\t3\n  #2\t\"x\"\n",
            "note is unset, count is 3\n",
        ],
    );
}

#[test]
fn runaways_at_the_prompt_are_stopped_and_the_rule_goes_on() {
    let lines = "while true do pcall(function () while true do end end) end\nnote = 'alive'\n\
                 ('x'):rep(1e9)\n";
    let run = Bench::with(STOPS).pipe(&[], lines);
    in_order(
        &text(&run.stdout),
        &[
            "stdin:1: stopped: used more than 5s of CPU time\n",
            "stopped: used up the memory of the rules\n",
            "note is alive, count is 3\n",
        ],
    );
    assert!(!text(&run.stdout).contains("error lua"));
}

#[test]
fn waiting_at_the_prompt_costs_the_rule_no_time() {
    let bench = Bench::with(
        "require('protocol/ipv4')
         local done
         haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function ()
           if done then return end
           done = true
           debug.interactive.enter('a>  ', 'a>> ')
           local n = 0
           for i = 1, 1000 do n = n + i end
           print('went on', n)
         end }",
    );
    // More CPU time at the prompt than the rule has altogether.
    let busy = "for i = 1, 2e7 do local x = tostring(i % 7) end\n";
    let run = bench.pipe(&["--event-budget", "100ms"], busy);
    in_order(&text(&run.stdout), &["went on 500500\n"]);
    // After the session the rule's own time counts again.
    let endless = Bench::with(
        "require('protocol/ipv4')
         haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function ()
           debug.interactive.enter('a>  ', 'a>> ')
           while true do end
         end }",
    );
    let run = endless.pipe(&["--event-budget", "10ms"], "");
    in_order(
        &text(&run.stdout),
        &["rule.lua:4: stopped: used more than 10ms of CPU time"],
    );
}

#[test]
fn the_console_lists_threads_rules_and_events() {
    let run = Bench::with(STOPS).pipe(
        &[],
        "threads()\nrules()\nevents()\n#rules()\nthreads().recv_pkt\n",
    );
    in_order(
        &text(&run.stdout),
        &[
            "  #1\tid | status  | recv_pkt | recv_bytes | trans_pkt | trans_bytes | drop_pkt | \n",
            "\t0  | running | 3        | 170        | 2         | 116         | 0        | \n",
            "  #1\tname     | location   | event               | type   | \n",
            "\tcounting | rule.lua:4 | ipv4:receive_packet | simple | \n",
            "  #1\tevent               | listener | \n",
            "\tipv4:receive_packet | 1        | \n",
            "at>  #rules()\n  #1\t1\n",
            "at>  threads().recv_pkt\n  #1\t3\n",
        ],
    );
}

#[test]
fn the_console_lists_connections_and_ends_them() {
    let lines = "all = tcp.connections()\nall:print()\n\
                 all:filter(function (c) return c.dstport == 80 end):drop()\n\
                 #all\nall:get('0-1').state\nall:sort('nothing')\nall:reset()\n\
                 #tcp.connections()\n#tcp.connections(true)\nudp.connections()\n";
    let run = Bench::with(STOPS).pipe(&[], lines);
    in_order(
        &text(&run.stdout),
        &[
            "id  | srcip    | srcport | dstip     | dstport | state        | in_pkts | in_bytes | \
             out_pkts | out_bytes | \n",
            "0-1 | 10.1.0.7 | 40312   | 10.2.0.80 | 7000    | ",
            "at>  #all\n  #1\t1\n",
            "  #1\t\"syn_received\"\n",
            "order 'nothing' is not a valid key\n",
            "cannot reset a non-established connection\n",
            "at>  #tcp.connections()\n  #1\t1\n",
            "udp protocol not available\n",
        ],
    );
    let run = Bench::with(STOPS).pipe(&[], "tcp.connections():drop()\n#tcp.connections()\n");
    in_order(&text(&run.stdout), &["#tcp.connections()\n  #1\t0\n"]);
}

#[test]
fn the_console_stops_the_run() {
    let run = Bench::with(STOPS).pipe(&[], "stop()\nnote = 'late'\n");
    in_order(&text(&run.stdout), &["at>  stop()\n", "note is unset"]);
    in_order(&text(&run.stderr), &["packets", " 3 ", "flows"]);
}

#[test]
fn without_somebody_to_ask_a_session_is_an_error_line() {
    let bench = Bench::with(STOPS);
    let run = bench.pipe(&["--workers", "2"], "note = 'typed'\n");
    let said = text(&run.stdout);
    in_order(&said, &["no input/output handler", "note is unset"]);
}

#[test]
fn a_capture_at_standard_input_leaves_none_for_sessions() {
    let bench = Bench::with(STOPS);
    let mut command = Command::new(env!("CARGO_BIN_EXE_wero"));
    command
        .current_dir(bench.folder.path())
        .args(["replay", "rule.lua", "-"])
        .stdin(fs::File::open(capture()).expect("the capture is there"));
    let run = command.output().expect("the program runs");
    in_order(
        &text(&run.stdout),
        &["no input/output handler", "note is unset"],
    );

    command.args(["--debug-lua"]);
    let refused = command.output().expect("the program runs");
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("give the capture as a file"));
}

#[test]
fn a_terminal_has_history_and_completion() {
    let bench = Bench::with(INTERACTIVE);
    let mut terminal = bench.pty(&[], "new>  ");
    terminal
        .sees("interactive rule:")
        .types("inputs[1].srcport")
        .sees("#1\t40312")
        .types(UP)
        .sees("#1\t40312")
        // One candidate is taken at once.
        .types("inputs[1].srcp\t")
        .sees("#1\t40312")
        // Several are shown.
        .at_prompt()
        .keys("inputs[2]:\t\t")
        .sees("compute_checksum")
        .keys("verify\t()\r")
        .sees("#1\ttrue")
        // ^C gives up the line, not the session.
        .at_prompt()
        .keys("nonsense")
        .keys(INTERRUPT)
        .sees("\n")
        .types("thre\t()")
        .sees("| status  |")
        .at_prompt()
        .keys(END_OF_INPUT)
        .sees("packets")
        .ends();
}

#[test]
fn the_debugger_stops_steps_and_shows() {
    let bench = Bench::with(DEBUGGED);
    let mut terminal = bench.pty(&["--debug-lua"], "debug>  ");
    terminal
        .sees("debugger: lua debugger activated")
        .sees("entering debugger: general break requested\r\nthread: 0\r\n   1=> require('protocol/ipv4')")
        .types("break 13")
        .sees("breakpoint added at 'rule.lua:13'")
        .types("c")
        .sees("entering debugger: breakpoint\r\nthread: 0\r\n  13#>     local len = double(pkt.len)")
        .types("step")
        .sees("   5=>   local twice = n * 2")
        .types("bt")
        .sees("Backtrace\r\n =>0\trule.lua:5: in function 'double'\r\n  #1\trule.lua:13: in function <rule.lua:11>")
        .types("next")
        .sees("   6=>   return twice")
        .types("local")
        .sees("Locals\r\n  #1\tn = 44\r\n  #2\ttwice = 88")
        .types("p twice + 1")
        .sees("#1\t89")
        .types("p twice = 7")
        .types("finish")
        .sees("  14=>     if count == 2 then")
        .types("p len")
        .sees("#1\t7")
        .types("upvalue")
        .sees("Up-values\r\n  #1\tcount = 1\r\n  #2\tdouble = function")
        .types("next")
        .sees("  17=>     len = nil")
        .types("")
        .sees("  18=>   end")
        .types("rb 13")
        .sees("breakpoint removed from 'rule.lua:13'")
        .types("rb 13")
        .sees("not breakpoint at 'rule.lua:13'")
        .types("c")
        .sees("entering debugger: unknown field 'destport'\r\nthread: 0\r\nBacktrace\r\n =>0\trule.lua:15: in function <rule.lua:11>")
        .sees("  15=>       print(pkt.destport)")
        .at_prompt()
        .keys(END_OF_INPUT)
        .sees("continue")
        .sees("ipv4: unknown field 'destport'")
        .sees("packets")
        .ends();
}

#[test]
fn the_debugger_lists_selects_and_refuses() {
    let lines = "list\nlist +\nlist -\nl 4\nb 99\nb 5\nc\nframe 1\nlocal\nf 7\nstack\nlocal 1\nnonsense\n\
                 p while true do end\np n\nrb 5\nhelp\n";
    let run = Bench::with(DEBUGGED).pipe(&["--debug-lua"], lines);
    in_order(
        &text(&run.stdout),
        &[
            "debug>  list\n   1=> require('protocol/ipv4')\n   2:  local count = 0\n",
            "  11:    eval = function (pkt)\ndebug>  list +\n  12:      count = count + 1\n",
            "debug>  list -\n   1=> ",
            "debug>  l 4\n   1=> ",
            "no line 99 in 'rule.lua'\n",
            "breakpoint added at 'rule.lua:5'\n",
            "entering debugger: breakpoint\nthread: 0\n   5#>   local twice = n * 2\n",
            " =>1\trule.lua:13: in function <rule.lua:11>\n  13=>     local len = double(pkt.len)\n",
            "Locals\n  #1\tpkt = userdata ipv4\n",
            "no frame '7'\n",
            "Stack (size=",
            "  #1\tpkt = userdata ipv4\n",
            "Locals\n  #1\tpkt = userdata ipv4 {\n",
            "invalid command 'nonsense'\n",
            "stdin:1: stopped: used more than 5s of CPU time\n",
            // The selected frame has no such local.
            "debug>  p n\n  #1\tnil\n",
            "debug>  rb 5\nbreakpoint removed from 'rule.lua:5'\n",
            "  continue, c ",
        ],
    );
}

#[test]
fn rules_start_and_stop_the_debugger() {
    let bench = Bench::with(
        "require('protocol/ipv4')
local count = 0
haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function ()
  count = count + 1
  debug.breakpoint()
  if count == 2 then debug.debugger.start() end
  if count == 3 then debug.debugger.stop() end
end }",
    );
    let run = bench.pipe(&["--log", "info"], "p count\nc\nc\n");
    let said = text(&run.stdout);
    in_order(
        &said,
        &[
            "info  debugger:  lua debugger activated\n",
            "entering debugger: breakpoint\nthread: 0\n   5=>   debug.breakpoint()\n",
            "debug>  p count\n  #1\t3\ndebug>  c\n",
            "info  debugger:  lua debugger deactivated\n",
        ],
    );
    assert_eq!(said.matches("entering debugger").count(), 1, "{said}");
}

#[test]
fn interrupts_break_into_rules() {
    let bench = Bench::with(
        "require('protocol/ipv4')
local stay = true
haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function ()
  while stay do
    local x = 1
  end
end }",
    );
    let mut terminal = bench.pty(&["--debug-lua", "--event-budget", "60s"], "debug>  ");
    terminal.types("c");
    std::thread::sleep(std::time::Duration::from_millis(500));
    terminal
        .keys(INTERRUPT)
        .sees("break (hit ^C again to kill)")
        .sees("entering debugger: general break requested")
        .types("p stay = false")
        .types("c")
        .sees("packets")
        .ends();
}

#[test]
fn the_watchdog_works_while_and_after_debugging() {
    let bench = Bench::with(
        "require('protocol/ipv4')
local count = 0
haka.rule { on = haka.dissectors.ipv4.events.receive_packet, eval = function ()
  count = count + 1
  if count == 1 then while true do end end
  if count == 2 then debug.debugger.stop() while true do end end
end }",
    );
    let run = bench.pipe(&["--debug-lua", "--event-budget", "20ms"], "c\n");
    let said = text(&run.stdout);
    in_order(
        &said,
        &[
            "rule.lua:5: stopped: used more than 5s of CPU time",
            "lua debugger deactivated",
            "stopped: used more than 20ms of CPU time",
        ],
    );
}

#[test]
fn streamed_listeners_are_debugged_in_their_coroutines() {
    let bench = Bench::with(
        "require('protocol/ipv4')
require('protocol/tcp_connection')
haka.rule { on = haka.dissectors.tcp_connection.events.receive_data,
  options = { streamed = true },
  eval = function (flow, iter, direction)
    local first = iter:sub(1)
    local size = first.nothing
  end }",
    );
    let run = bench.pipe(&["--debug-lua"], "b 7\nc\nlocal\np direction\nc\nbt\nc\n");
    in_order(
        &text(&run.stdout),
        &[
            "entering debugger: breakpoint\nthread: 0\n   7#>     local size = first.nothing\n",
            "  #3\tdirection = \"up\"\n  #4\tfirst = userdata vbuffer_sub\n",
            "debug>  p direction\n  #1\t\"up\"\n",
            "entering debugger: unknown field 'nothing'\n",
            " =>0\trule.lua:7: in function <rule.lua:5>\n",
        ],
    );
}

#[test]
fn errors_of_the_rule_file_stop_the_debugger() {
    let run =
        Bench::with("local missing\nmissing.field = 1\n").pipe(&["--debug-lua"], "c\nlocal\n");
    in_order(
        &text(&run.stdout),
        &[
            "entering debugger: rule.lua:2: attempt to index local 'missing' (a nil value)\n",
            " =>0\trule.lua:2: in main chunk\n",
            "debug>  local\nLocals\n  #1\tmissing = nil\n",
        ],
    );
    assert_eq!(run.status.code(), Some(78));
}

#[test]
fn hakapcap_has_the_debugger_too() {
    let bench = Bench::with(DEBUGGED);
    let mut command = Command::new(env!("CARGO_BIN_EXE_hakapcap"));
    command
        .current_dir(bench.folder.path())
        .args(["--debug-lua", "rule.lua"])
        .arg(capture());
    let run = piped(command, "b 13\nc\n");
    in_order(
        &text(&run.stdout),
        &[
            "info  debugger:",
            "lua debugger activated\n",
            "breakpoint added at 'rule.lua:13'\n",
            "entering debugger: breakpoint\n",
            "error lua:",
            "ipv4: unknown field 'destport'\n",
        ],
    );
    assert!(run.status.success());
}

#[test]
fn rules_gain_no_hooks_and_no_variables_of_others() {
    let bench = Bench::with(
        "for _, name in ipairs { 'sethook', 'gethook', 'getlocal', 'setlocal', 'getupvalue',
           'setupvalue', 'getregistry' } do
           assert(debug[name] == nil, name)
         end
         for _, value in pairs(debug.debugger) do assert(type(value) == 'function') end
         print('sealed')",
    );
    let run = bench.pipe(&[], "");
    in_order(&text(&run.stdout), &["sealed\n"]);
}

#[test]
fn errors_at_the_end_stop_the_debugger() {
    let rule = "haka.rule { on = haka.events.exiting, eval = function ()
  local gone
  gone.field = 1
end }";
    let run = Bench::with(rule).pipe(&["--debug-lua"], "c\nlocal\n");
    in_order(
        &text(&run.stdout),
        &[
            "entering debugger: rule.lua:3: attempt to index local 'gone' (a nil value)\n",
            "debug>  local\nLocals\n  #1\tgone = nil\n",
            "error lua:      lua: rule.lua:3: attempt to index local 'gone' (a nil value)\n",
        ],
    );
}
