//! Segments that rules hold before a hole: their sender is told to go on to
//! what is missing, and what was acknowledged for its receiver reaches that
//! receiver whatever is lost then.

#[path = "captures/mod.rs"]
#[allow(dead_code)]
mod captures;
mod held_segments {
    #[allow(dead_code)]
    pub mod talk;
}
#[path = "support/rig.rs"]
mod rig;

use std::collections::BTreeMap;

use held_segments::talk::{Client, FAMILIES, MSS, Manner, Seen, Sent, Server, Talk, data};
use wero::core::Stats;
use wero::event::{DropReason, Profile, Settings};

const ON_DATA: &str = "haka.dissectors.tcp_connection.events.receive_data";
/// Before what is held; the client's numbers pass their end behind it.
const LEADS: [&str; 2] = ["", "eighteen bytes of "];

fn live() -> Settings {
    Settings {
        live: true,
        ..Settings::new(Profile::Wero)
    }
}

/// Holds `one ` until `two ` is there, and makes both one token.
fn rules(token: &str) -> String {
    format!(
        "require('protocol/tcp_connection')
         local mark
         haka.rule {{ on = {ON_DATA}, eval = function (flow, data, direction)
           if direction ~= 'up' then return end
           local text = data:asstring()
           if text:find('^one ') then
             mark = data:pos('begin')
             mark:mark()
           elseif text:find('^two ') and mark then
             mark:copy():sub(8):replace(haka.vbuffer_from('{token}'))
             mark:unmark()
           end
         end }}"
    )
}

fn answer(ack: i64) -> Sent<'static> {
    Sent {
        ack,
        ..data(0, b"")
    }
}

/// What a server has of the client's bytes.
#[derive(Default)]
struct Has(BTreeMap<i64, u8>);

impl Has {
    fn take(&mut self, seen: &[Seen]) {
        for one in seen.iter().filter(|one| one.from == Client) {
            assert!(one.bytes.len() <= usize::from(MSS), "{one:?}");
            for (at, &byte) in (one.at..).zip(&one.bytes) {
                assert_eq!(*self.0.entry(at).or_insert(byte), byte, "at {at}");
            }
        }
    }

    /// Bytes without a gap from the first on.
    fn text(&self) -> String {
        let bytes = (0..).map_while(|at| self.0.get(&at));
        bytes.map(|&byte| byte as char).collect()
    }
}

/// A talk in which `one ` is held behind a lead, `two ` is missing, and the
/// client was told to go on.
struct Scene {
    talk: Talk,
    has: Has,
    lead: i64,
    expected: String,
}

impl Scene {
    fn open(lead: &str, token: &str, settings: Settings, manner: Manner) -> Scene {
        let mut scene = Scene {
            talk: Talk::open(&rules(token), settings, manner),
            has: Has::default(),
            lead: lead.len() as i64,
            expected: format!("{lead}{token}three "),
        };
        if !lead.is_empty() {
            let left = scene.talk.send(Client, data(0, lead.as_bytes()));
            scene.has.take(&left);
            scene.talk.send(Server, answer(scene.lead));
        }
        assert_eq!(scene.client(0, "one "), []);
        let told = scene.client(8, "three ");
        assert_eq!((told.len(), told[0].ack), (1, scene.lead));
        scene
    }

    fn vouched(lead: &str, token: &str, settings: Settings, manner: Manner) -> Scene {
        let mut scene = Scene::open(lead, token, settings, manner);
        let told = scene.client(0, "one ");
        let said: Vec<_> = told.iter().map(|one| (one.from, one.ack)).collect();
        assert_eq!(said, [(Server, scene.lead + 4)]);
        scene
    }

    fn client(&mut self, at: i64, text: &str) -> Vec<Seen> {
        self.talk
            .send(Client, data(self.lead + at, text.as_bytes()))
    }

    fn server(&mut self, ack: i64, block: Option<(i64, i64)>) -> Seen {
        let sent = Sent {
            sack: block,
            ..answer(ack)
        };
        let seen = self.talk.send(Server, sent);
        assert_eq!(seen.len(), 1, "{seen:?}");
        seen[0].clone()
    }

    /// Both ends are done: all has arrived, and nobody owes anything.
    fn finish(mut self) -> Stats {
        assert_eq!(self.has.text(), self.expected);
        let told = self.server(self.expected.len() as i64, None);
        assert_eq!((told.ack, told.sack.len()), (self.lead + 14, 0));
        let (left, stats, said) = self.talk.close();
        // Nobody translates the numbers of an edited connection any more.
        assert!(left.iter().all(|one| one.rst), "{left:?}");
        assert_eq!(said.errors(), Vec::<&str>::new());
        stats
    }
}

fn everywhere(mut play: impl FnMut(&str, &str, Manner)) {
    for manner in FAMILIES {
        for lead in LEADS {
            for token in ["", "1", "12345678", &"#".repeat(3000)] {
                play(lead, token, manner);
            }
        }
    }
}

#[test]
fn a_sender_that_repeats_what_is_held_is_told_to_go_on() {
    everywhere(|lead, token, manner| {
        let mut scene = Scene::open(lead, token, live(), manner);
        let start = scene.lead;
        for _ in 0..2 {
            // The second time what told it was lost.
            let told = scene.client(0, "one ");
            assert_eq!(told.len(), 1);
            assert_eq!((told[0].ack, told[0].window), (start + 4, 60_000 - 4));
            assert_eq!(told[0].sack, [(start + 8, start + 14)]);
            assert_eq!(told[0].bytes, b"");
        }
        // Its timer takes its time.
        assert_eq!(scene.talk.wait(5_000), []);
        let left = scene.client(4, "two ");
        scene.has.take(&left);
        let stats = scene.finish();
        assert_eq!((stats.hold_timeouts, stats.sent_ahead), (0, 0));
        assert_eq!((stats.vouched_acks, stats.behalf_acks), (2, 3));
        assert_eq!(stats.vouched_again, 0);
    });
}

#[test]
fn what_is_lost_behind_us_leaves_again_when_its_sender_repeats_what_it_owes() {
    everywhere(|lead, token, manner| {
        let mut scene = Scene::vouched(lead, token, live(), manner);
        let start = scene.lead;
        // Only what follows the token arrives.
        let left = scene.client(4, "two ");
        let end = start + token.len() as i64;
        let told = scene.server(start, Some((end, end + 6)));
        if token.is_empty() {
            // Nothing of it is missing.
            assert_eq!(told.ack, start + 8);
        } else {
            assert_eq!(
                (told.ack, &told.sack[..]),
                (start + 4, &[(start + 8, start + 14)][..])
            );
            // It may not hear that its receiver has what it owes.
            let told = scene.server(start, Some((start + 1, end + 6)));
            assert_eq!(told.ack, start + 4);
            assert!(
                told.sack.iter().all(|block| block.0 > start + 4),
                "{told:?}"
            );
        }
        scene.has.take(&left[left.len() - 1..]);
        // The first time all of that is lost again.
        scene.client(4, "two ");
        let again = scene.client(4, "two ");
        scene.has.take(&again);
        scene.finish();
    });
}

#[test]
fn what_arrived_of_it_does_not_leave_again() {
    for manner in FAMILIES {
        for lead in LEADS {
            let token = "0123456789".repeat(300);
            let mut scene = Scene::vouched(lead, &token, live(), manner);
            let start = scene.lead;
            let left = scene.client(4, "two ");
            scene.has.take(&left[..1]);
            let has = scene.has.text().len() as i64;
            assert!(has > start && has < start + 3000);
            assert_eq!(scene.server(has, None).ack, start + 4);
            let again = scene.client(4, "two ");
            assert_eq!(again[0].at, has);
            assert!(!again[0].fin && again[0].ack == 0);
            scene.has.take(&again);
            let three = scene.client(8, "three ");
            scene.has.take(&three);
            scene.finish();
        }
    }
}

/// Nothing behind it has been seen: whoever sends it may owe nothing more.
#[test]
fn without_a_hole_nothing_is_acknowledged() {
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules("1"), live(), manner);
        assert_eq!(talk.send(Client, data(0, b"one ")), []);
        assert_eq!(talk.wait(100), []);
        assert_eq!(talk.send(Client, data(0, b"one ")), []);
        assert_eq!(talk.wait(49), []);
        assert_eq!(talk.wait(2).len(), 1);
        let (_, stats, _) = talk.close();
        assert_eq!((stats.vouched_acks, stats.sent_ahead), (0, 1));
    }
}

#[test]
fn what_is_under_way_arrives_first() {
    for manner in FAMILIES {
        let mut talk = Talk::open(&rules("1"), live(), manner);
        assert_eq!(talk.send(Client, data(0, b"zero")).len(), 1);
        assert_eq!(talk.send(Client, data(4, b"one ")), []);
        assert_eq!(talk.send(Client, data(12, b"three ")).len(), 1);
        assert_eq!(talk.send(Client, data(4, b"one ")), []);
        let told = talk.send(Server, answer(4));
        assert_eq!(told.len(), 2);
        assert!(told.iter().all(|one| one.ack == 8), "{told:?}");
        talk.close();
    }
}

/// The time of readers begins when the hole before them is filled.
#[test]
fn readers_that_go_on_holding_are_waited_for_anew() {
    let holds = format!(
        "require('protocol/tcp_connection')
         local mark
         haka.rule {{ on = {ON_DATA}, eval = function (flow, data, direction)
           if not mark then mark = data:pos('begin') mark:mark() end
         end }}"
    );
    for manner in FAMILIES {
        let mut talk = Talk::open(&holds, live(), manner);
        assert_eq!(talk.send(Client, data(0, b"one ")), []);
        assert_eq!(talk.send(Client, data(8, b"three ")).len(), 1);
        assert_eq!(talk.wait(1000), []);
        assert_eq!(talk.send(Client, data(4, b"two ")), []);
        assert_eq!(talk.wait(149), []);
        assert_eq!(talk.wait(2).len(), 3);
        talk.close();
    }
}

/// A flow that rules let go still lives by what was acknowledged in it.
#[test]
fn what_passes_unjudged_is_repeated_too() {
    for manner in FAMILIES {
        let settings = Settings {
            reassembly_bytes: 1000,
            ..live()
        };
        let mut scene = Scene::vouched("", "1", settings, manner);
        let left = scene.client(14, &"x".repeat(1000));
        assert_eq!(scene.talk.stats().reassembly_caps, 1);
        let texts: Vec<_> = left.iter().map(|one| (one.at, one.bytes.len())).collect();
        assert_eq!(texts, [(0, 4), (8, 6), (14, 1000)]);
        // The first is lost.
        scene.has.take(&left[1..]);
        assert_eq!(scene.server(0, Some((8, 1014))).ack, 4);
        let left = scene.client(4, "two ");
        scene.has.take(&left);
        assert!(scene.has.text().starts_with("one two three xxx"));
        assert_eq!(scene.server(1014, None).ack, 1014);
        scene.talk.close();
    }
}

#[test]
fn a_connection_whose_acknowledged_bytes_are_lost_is_dropped() {
    for manner in FAMILIES {
        let settings = Settings {
            kept_bytes: 3000,
            ..live()
        };
        let mut scene = Scene::vouched("", "1", settings, manner);
        scene.client(4, "two ");
        let full = "x".repeat(usize::from(MSS));
        for number in 0..4 {
            scene.client(14 + number * 1000, &full);
        }
        // They may have arrived.
        assert!(scene.talk.stats().kept_caps > 0);
        assert_eq!(scene.talk.wait(100), []);
        assert_eq!(scene.talk.stats().forgotten_bytes, 0);
        scene.client(4, "two ");
        scene.talk.wait(1);
        assert!(scene.talk.stats().forgotten_bytes > 0);
        scene.client(4, "two ");
        let refused = scene.talk.refused().last().map(|&(_, reason)| reason);
        assert_eq!(refused, Some(DropReason::FlowDropped));
        scene.talk.close();
    }
}
