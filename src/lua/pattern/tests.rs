//! Patterns against LuaJIT's own matcher, and against the step limit.

use std::ffi::c_void;
use std::time::Instant;

use mlua::{Function, LightUserData, Lua, Table};
use proptest::prelude::*;

use super::*;

/// A VM with `ffi`, and the library's functions as global `ours`.
fn vm() -> Lua {
    vm_with_steps(DEFAULT_STEPS as f64)
}

fn vm_with_steps(steps: f64) -> Lua {
    // SAFETY: the chunks run here are the library and this file's.
    let lua = unsafe { Lua::unsafe_new() };
    let api = LightUserData(&raw const PATTERN_API as *mut c_void);
    let host: Function = lua
        .load(
            "local cdef, address, steps = ...
             local ffi = require('ffi')
             ffi.cdef(cdef)
             return {
               ffi = ffi,
               pattern_api = ffi.cast('const wero_pattern_api *', address),
               pattern_steps = steps,
             }",
        )
        .into_function()
        .expect("the host chunk compiles");
    let host: Table = host
        .call((CDEF, api, steps))
        .expect("the host table is made");
    let library = lua
        .load(include_str!("../lib/patterns.lua"))
        .set_name("=patterns");
    let ours: Table = library.call(host).expect("the library loads");
    lua.globals().set("ours", ours).expect("globals can be set");
    lua
}

fn run(code: &str) {
    vm().load(code)
        .set_name("=test")
        .exec()
        .unwrap_or_else(|error| panic!("{error}"));
}

/// Compares the library with the built-in functions, call by call.
const COMPARE: &str = r#"
local names = { 'find', 'match', 'gmatch', 'gsub' }
local function pack(ok, ...)
  local values = { n = select('#', ...), ... }
  for k = 1, values.n do values[k] = type(values[k]) .. ':' .. tostring(values[k]) end
  return tostring(ok) .. '(' .. table.concat(values, ',') .. ')'
end
local function drain(lib, s, p)
  local all, step = {}, lib.gmatch(s, p)
  for _ = 1, 30 do
    local one = { step() }
    if one[1] == nil then break end
    for k = 1, #one do one[k] = tostring(one[k]) end
    all[#all + 1] = table.concat(one, '|')
  end
  return table.concat(all, ';')
end
local replacements = {
  'x', '<%0>', '%1%%', '%2', '%', '%w', 7,
  { a = 'A', b = false, ab = 'AB', [''] = 5, [1] = 'one' },
  function (...) return select('#', ...) end,
  function (a, b) return b end,
  function (a) if a == 'a' then return {} end end,
}
local function both(what, f, g)
  local expected, got = pack(pcall(f)), pack(pcall(g))
  if expected ~= got and got:find('too expensive', 1, true) then
    given_up = given_up + 1
  elseif expected ~= got then
    error(('%s\n  LuaJIT %s\n  ours   %s'):format(what, expected, got), 0)
  end
end
given_up = 0
function compare(s, p, init, which)
  local theirs = string
  local what = ('%q %q %s %s'):format(s, p, tostring(init), which)
  both('find ' .. what, function () return theirs.find(s, p, init) end,
    function () return ours.find(s, p, init) end)
  both('match ' .. what, function () return theirs.match(s, p, init) end,
    function () return ours.match(s, p, init) end)
  if which % 4 == 0 then
    both('plain ' .. what, function () return theirs.find(s, p, init, true) end,
      function () return ours.find(s, p, init, true) end)
    both('gmatch ' .. what, function () return drain(theirs, s, p) end,
      function () return drain(ours, s, p) end)
  end
  local replacement = replacements[which % #replacements + 1]
  local limit = init ~= nil and init % 3 == 0 and init or nil
  both('gsub ' .. what, function () return theirs.gsub(s, p, replacement, limit) end,
    function () return ours.gsub(s, p, replacement, limit) end)
end
"#;

/// Draws numbers; the same ones in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % sides
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.roll(from.len())]
    }
}

const ITEMS: &[&str] = &[
    "a",
    "b",
    "ab",
    "x",
    ".",
    "%a",
    "%d",
    "%s",
    "%w",
    "%p",
    "%u",
    "%l",
    "%c",
    "%x",
    "%z",
    "%g",
    "%A",
    "%D",
    "%S",
    "%W",
    "%Z",
    "%G",
    "[ab]",
    "[^ab]",
    "[a-c]",
    "[%a_]",
    "[]]",
    "[^]]",
    "[]-a]",
    "[a-]",
    "[%]]",
    "[^%s]",
    "[a-%z]",
    "[%a-z]",
    "[b-%%]",
    "(",
    ")",
    "()",
    "(a",
    "b)",
    "(.)",
    "(a*)",
    "(%w+)",
    "(.-)",
    "%1",
    "%2",
    "%0",
    "%9",
    "%b()",
    "%bab",
    "%baa",
    "%f[%w]",
    "%f[^%w]",
    "%f[%z]",
    "$",
    "^",
    "%",
    "[",
    "]",
    "[a",
    "[^",
    "%b",
    "%b(",
    "%f",
    "%fa",
    "-",
    "*",
    "+",
    "?",
    "\0",
    "%%",
    "%.",
    "%-",
    "\u{e9}",
    "[\u{e0}-\u{ff}]",
    ",",
    "=",
    " ",
];
const REPEATS: &[&str] = &["", "", "", "", "*", "+", "-", "?"];
const WORDS: &[&str] = &[
    "a", "b", "a", "b", "ab", "aa", "ba", "x", "1", "42", " ", "(", ")", "()", ",", "=", "_", "\0",
    "\n", "]", "-", "%", "A", "Zz", "\u{e9}", ".", "abc", "^", "$",
];

#[test]
fn results_and_errors_are_luajits() {
    let lua = vm();
    lua.load(COMPARE).exec().expect("the comparison loads");
    let compare: Function = lua.globals().get("compare").expect("it defines compare");
    let mut dice = Dice(0x5eed_0fa7);
    for case in 0..12_000 {
        let mut pattern = String::from(if dice.roll(6) == 0 { "^" } else { "" });
        for _ in 0..1 + dice.roll(5) {
            pattern.push_str(dice.pick(ITEMS));
            pattern.push_str(dice.pick(REPEATS));
        }
        if dice.roll(8) == 0 {
            pattern.push('$');
        }
        let mut subject = String::new();
        for _ in 0..dice.roll(12) {
            subject.push_str(dice.pick(WORDS));
        }
        // A long subject now and then, for the searchers that pay late.
        if dice.roll(25) == 0 {
            subject = format!("{}{subject}{}", "b ".repeat(150), "ba".repeat(20));
        }
        let init = match dice.roll(3) {
            0 => None,
            _ => Some(dice.roll(20) as i64 - 9),
        };
        let bytes = |text: &str| lua.create_string(text).expect("strings can be made");
        compare
            .call::<()>((bytes(&subject), bytes(&pattern), init, case))
            .unwrap_or_else(|error| panic!("case {case}: {error}"));
    }
    // Cubic patterns on the long subjects rightly run out of steps.
    let given_up: i64 = lua.globals().get("given_up").expect("it is counted");
    assert!(given_up < 20, "{given_up} searches were given up");
}

#[test]
fn random_bytes_are_luajits() {
    let lua = vm();
    lua.load(COMPARE).exec().expect("the comparison loads");
    let compare: Function = lua.globals().get("compare").expect("it defines compare");
    let alphabet = b"ab()[]%^$-*+?.1\0bfw";
    let mut dice = Dice(77);
    for case in 0..6_000 {
        let mut draw = |length: usize| -> Vec<u8> {
            (0..length)
                .map(|_| alphabet[dice.roll(alphabet.len())])
                .collect()
        };
        let (pattern, subject) = (draw(1 + case % 9), draw(case % 14));
        let string = |bytes: &[u8]| lua.create_string(bytes).expect("strings can be made");
        compare
            .call::<()>((
                string(&subject),
                string(&pattern),
                case as i64 % 7 - 3,
                case,
            ))
            .unwrap_or_else(|error| panic!("case {case}: {error}"));
    }
}

#[test]
fn balance_frontier_back_references_and_positions() {
    run(r#"
      local find, match, gsub, gmatch = ours.find, ours.match, ours.gsub, ours.gmatch
      assert(match('f(a(b)c)d)', '%b()') == '(a(b)c)')
      assert(match('f(a(b', '%b()') == nil)
      assert(match("say 'it' now", "%b''") == "'it'")
      assert(gsub('THE (quick) fox', '%f[%a]%a+', 'w') == 'w (w) w')
      assert(find('THE (quick) fox', '%f[%a]%a+%f[%A]', 2) == 6)
      assert(match('x = "a \'b\' c"', [[(["'])(.-)%1]]) == '"')
      assert(select(2, match('x = "a \'b\' c"', [[(["'])(.-)%1]])) == "a 'b' c")
      local from, word, to = match('  key=1', '()(%a+)()')
      assert(from == 3 and word == 'key' and to == 6)
      assert(select('#', match('a', '()')) == 1 and match('a', '()', 2) == 2)
      assert(find('a\0b', '\0') == 2 and find('a\0b', '%z') == 2)
      assert(match('aXb', '%u') == 'X' and match('\127é!', '%g') == '!')
      local keys = {}
      for key, value in gmatch('a=1, b=2', '(%w+)=(%w+)') do keys[#keys + 1] = key .. value end
      assert(table.concat(keys) == 'a1b2')
      local text, count = gsub('hello world', 'o', { o = '0' }, 1)
      assert(text == 'hell0 world' and count == 1)
      assert(gsub('abc', '%w', '%0%0') == 'aabbcc' and gsub('abc', '', '-') == '-a-b-c-')
      assert(find('abc', 'b', 1e10) == nil and gsub('aa', 'a', 'b', math.huge) == 'bb')
    "#);
}

#[test]
fn numbers_pass_as_strings() {
    run(
        "assert(ours.find(1234, 23) == 2 and ours.match(12.5, '%d+$') == '5')
         assert(ours.gsub('a1', 1, 2) == 'a2' and ours.find('abc', 'c', '-1') == 3)
         assert(ours.find('abc', 'b', 1.9) == 2 and ours.find('abc', 'b', -2.9) == 2)",
    );
}

#[test]
fn argument_errors_are_luajits() {
    let lua = vm();
    lua.load(COMPARE).exec().expect("the comparison loads");
    lua.load(
        r#"
        local calls = {
          function (string) string.find(nil, 'a') end,
          function (string) string.find('a', nil) end,
          function (string) string.find('a', {}) end,
          function (string) string.find('a', 'a', {}) end,
          function (string) string.find('a', 'a', 'x') end,
          function (string) string.find('a', 'a', false) end,
          function (string) string.match(true, 'a') end,
          function (string) string.match('a', print) end,
          function (string) string.match('a', 'a', {}) end,
          function (string) string.gmatch(nil, 'a') end,
          function (string) string.gmatch('a', false) end,
          function (string) string.gsub(nil, 'a', 'b') end,
          function (string) string.gsub('a', nil, 'b') end,
          function (string) string.gsub('a', 'a', nil) end,
          function (string) string.gsub('a', 'a', true) end,
          function (string) string.gsub('a', 'a', 'b', {}) end,
          function (string) string.gsub('a', 'a', true, {}) end,
          function (string) string.gsub('abc', 'b', function () return {} end) end,
          function (string) string.gsub('abc', '(b', '%1') end,
          function (string) string.gsub('abc', 'b', '%2') end,
          function (string) string.gsub('abc', '(b', {}) end,
          function (string) string.find('abc', '(b') end,
          function (string) string.find('abc', 'b)(') end,
          function (string) string.find('abc', 'b%') end,
          function (string) for _ in string.gmatch('abc', '[a') do end end,
          function (string) local locate = string.find locate({}, 1) end,
          function (string) local t = { f = string.match } t:f('a') end,
          function (string) local t = setmetatable({}, { __index = string }) t.find(t, 'x') end,
          function (string) local x = string.find(('a'):rep(300), ('a?'):rep(300)) end,
          function (string) local x = string.find('a', ('()'):rep(33)) end,
        }
        for k, call in ipairs(calls) do
          local _, expected = pcall(call, string)
          local ok, got = pcall(call, ours)
          assert(not ok, k)
          -- A function of fixed arguments cannot tell a missing one from nil.
          expected = expected:gsub('got no value', 'got nil')
          assert(got == expected, ('%d: %q, not %q'):format(k, got, expected))
        end
        for _, name in ipairs { 'find', 'match', 'gmatch', 'gsub' } do
          local _, expected = pcall(string[name], {})
          local _, got = pcall(ours[name], {})
          assert(got == expected, got)
        end"#,
    )
    .set_name("=test")
    .exec()
    .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn methods_are_named_as_luajit_names_them() {
    // The string metatable looks into `string`, so exchanging the functions
    // there changes what a method call reaches.
    run(r#"
      local methods = {
        function () ('x'):find() end, function () ('x'):gsub('x', true) end,
        function () ('x'):find('x', {}) end, function () ('x'):match({}) end,
      }
      local function texts()
        local all = {}
        for k, f in ipairs(methods) do all[k] = select(2, pcall(f)):gsub('no value', 'nil') end
        return table.concat(all, '\n')
      end
      local expected = texts()
      for name, f in pairs(ours) do string[name] = f end
      assert(texts() == expected, texts())
    "#);
}

#[test]
fn replacements_may_yield_and_nest() {
    run(r#"
      local thread = coroutine.wrap(function ()
        return (ours.gsub('a-b-c', '%a', function (letter)
          local inner = ours.gsub('xx', 'x', letter)
          return coroutine.yield(inner)
        end))
      end)
      assert(thread() == 'aa' and thread('1') == 'bb' and thread('2') == 'cc')
      assert(thread('3') == '1-2-3')
    "#);
}

#[test]
fn expensive_searches_end_soon() {
    let lua = vm();
    let cases = [
        "ours.find(('a'):rep(30), ('a?'):rep(30) .. ('a'):rep(30) .. 'b')",
        "ours.match(('a'):rep(30), ('a?'):rep(31) .. ('a'):rep(30) .. '[b]')",
        "ours.find(('a'):rep(300000), '.-b[c]')",
        "ours.find(('a'):rep(300000), '.-b')",
        "ours.find(('a'):rep(300000), '(.*)(.*)%2%1b')",
        "ours.find(('('):rep(300000), '%b()')",
        "ours.gsub(('a'):rep(300000), 'a*b', '')",
        "ours.match(('x'):rep(300000), '[x]-[x]-[y]')",
        "for _ in ours.gmatch(('ab'):rep(100000), 'ab.-c') do end",
    ];
    for case in cases {
        let code = format!("local ok, text = pcall(function () {case} end) return ok, text");
        let start = Instant::now();
        let (ok, text): (bool, Option<String>) = lua.load(&code).eval().expect("pcall holds");
        let took = start.elapsed();
        assert!(!ok, "{case} came to an end");
        let text = text.unwrap_or_default();
        assert!(
            text.ends_with("pattern too expensive: gave up after 1000000 steps"),
            "{text}"
        );
        // 50 ms is asked for; the slack is for a busy machine.
        assert!(took.as_millis() < 250, "{case} took {took:?}");
    }
}

#[test]
fn the_classic_blow_up_of_optional_items_is_cut() {
    let pattern = format!("{}{}", "a?".repeat(30), "a".repeat(30));
    let mut steps = DEFAULT_STEPS;
    let found = match_at("a".repeat(30).as_bytes(), pattern.as_bytes(), 0, &mut steps);
    assert_eq!(found, Err(PatternError::TooManySteps));
    assert_eq!(steps, 0);
}

#[test]
fn long_subjects_in_linear_patterns_fit_the_budget() {
    run(r#"
      local text = ('GET /index.html HTTP/1.1\r\n'):rep(40000)
      local _, count = ours.gsub(text, '%S+', '')
      assert(count == 120000)
      assert(ours.find(text, '%z') == nil and ours.match(text, '^.*\n$') == text)
      assert(ours.find(text .. 'needle', 'need()le') == #text + 1)
      assert(ours.find(text .. 'needle', '[n]ee') == #text + 1)
    "#);
}

#[test]
fn the_budget_is_the_hosts() {
    let lua = vm_with_steps(50.0);
    let text: String = lua
        .load("return select(2, pcall(ours.find, ('a'):rep(100), 'a-a-b'))")
        .eval()
        .expect("pcall holds");
    assert_eq!(text, "pattern too expensive: gave up after 50 steps");
}

#[test]
fn the_cache_forgets_when_full() {
    run("for k = 1, 3000 do
           assert(ours.match('a' .. k, '^a(' .. k .. ')$') == tostring(k))
           assert(ours.find('^' .. k, '^%^' .. k) == 1)
         end
         assert(ours.match('a7', '^a(7)$') == '7')");
}

#[test]
fn words_survive_the_round_trip() {
    let pattern = Pattern::new(b"^(GET)%s+[^%s]-()%1%b<>%f[%w]x?.*y$");
    assert!(Program::new(&pattern.words).is_some());
    assert!(
        Program::new(&pattern.words[..4]).is_none(),
        "a short header is refused"
    );
    assert!(
        Program::new(&pattern.words[..8]).is_none(),
        "missing items are refused"
    );
    for error in PatternError::ALL {
        assert_eq!(PatternError::from_code(error as u8), error);
    }
}

#[test]
fn captures_are_reported_in_order() {
    let found = match_at(b"  key = value", b"(%w+)()%s*=", 0, &mut 1_000).expect("it is valid");
    let found = found.expect("it matches");
    assert_eq!(found.whole(), 2..7);
    let position = Capture {
        start: 5,
        end: Capture::POSITION,
    };
    assert_eq!(found.list(), [Capture { start: 2, end: 5 }, position]);
}

proptest! {
    #[test]
    fn anything_ends_within_its_steps(
        subject in proptest::collection::vec(any::<u8>(), 0..60),
        pattern in proptest::collection::vec(
            prop_oneof![proptest::sample::select(b"a%b()[]^$.*+-?f1".as_slice()), any::<u8>()],
            0..20,
        ),
        init in 0usize..70,
        budget in 0u64..5_000,
    ) {
        let mut steps = budget;
        let found = match_at(&subject, &pattern, init, &mut steps);
        prop_assert!(steps <= budget);
        if let Ok(Some(found)) = found {
            prop_assert!(init <= found.whole().start && found.whole().end <= subject.len());
            prop_assert!(budget > 0, "a match costs a step at least");
        }
    }

    #[test]
    fn fuzz_body_holds(data in proptest::collection::vec(any::<u8>(), 0..80)) {
        fuzz_pattern(&data);
    }
}
