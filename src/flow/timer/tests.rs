use proptest::prelude::*;

use super::*;

const TICK: i64 = 1 << 20;
const SECOND: i64 = 1_000_000_000;
const DAY: i64 = 86_400 * SECOND;

impl TimerLinks for Vec<TimerLink> {
    fn link(&self, slot: u32) -> TimerLink {
        self[slot as usize]
    }
    fn set_link(&mut self, slot: u32, link: TimerLink) {
        self[slot as usize] = link;
    }
}

struct Rig {
    wheel: TimerWheel,
    links: Vec<TimerLink>,
}

impl Rig {
    fn new(slots: usize) -> Rig {
        Rig {
            wheel: TimerWheel::new(Duration::from_millis(1)),
            links: vec![TimerLink::default(); slots],
        }
    }

    fn arm(&mut self, slot: u32, now: i64, deadline: i64) {
        self.wheel
            .arm(&mut self.links, slot, Timestamp(now), Timestamp(deadline));
    }

    fn expired(&mut self, now: i64) -> Vec<u32> {
        std::iter::from_fn(|| self.wheel.next_expired(&mut self.links, Timestamp(now))).collect()
    }
}

#[test]
fn fires_at_the_deadline_and_never_before() {
    // On a tick's edge there is no rounding at all.
    for span in [
        1,
        63,
        64,
        65,
        4_095,
        4_096,
        300_000,
        20_000_000,
        1_100_000_000,
    ] {
        let mut rig = Rig::new(1);
        let start = 1_700_000_000 * SECOND + 12_345;
        rig.arm(0, start, start + span * TICK);
        assert_eq!(
            rig.expired(start + span * TICK - 1),
            [0_u32; 0],
            "span {span}"
        );
        assert_eq!(rig.expired(start + span * TICK), [0], "span {span}");
        assert_eq!(rig.expired(start + span * TICK), [0_u32; 0]);
        assert!(rig.wheel.is_empty());
    }
}

#[test]
fn timers_of_a_tick_fire_in_the_order_armed() {
    let mut rig = Rig::new(4);
    for (slot, deadline) in [(2, 900), (0, 100), (3, 500), (1, TICK + 1)] {
        rig.arm(slot, 0, 100 * TICK + deadline);
    }
    assert_eq!(rig.expired(DAY), [2, 0, 3, 1]);
}

#[test]
fn a_passed_deadline_fires_at_the_next_tick_only() {
    let mut rig = Rig::new(1);
    rig.arm(0, 10 * TICK, 3 * TICK);
    assert_eq!(rig.expired(10 * TICK), [0_u32; 0]);
    // Whoever arms again what has fired is not caught in a loop.
    assert_eq!(
        rig.wheel.next_expired(&mut rig.links, Timestamp(11 * TICK)),
        Some(0)
    );
    rig.arm(0, 11 * TICK, 3 * TICK);
    assert_eq!(rig.expired(11 * TICK), [0_u32; 0]);
}

#[test]
fn disarming_and_moving_leave_nothing_behind() {
    let mut rig = Rig::new(5);
    for slot in 0..5 {
        rig.arm(slot, 0, SECOND);
    }
    // Middle, head and tail of one list; the last one twice.
    for slot in [2, 0, 4, 4] {
        rig.wheel.disarm(&mut rig.links, slot);
    }
    rig.arm(3, 0, 2 * SECOND);
    assert_eq!(rig.wheel.len(), 2);
    assert_eq!(rig.expired(SECOND + TICK), [1]);
    assert_eq!(rig.expired(2 * SECOND + TICK), [3]);
    let unlinked = |link: &TimerLink| (link.next, link.prev, link.bucket);
    assert!(
        rig.links
            .iter()
            .all(|link| unlinked(link) == unlinked(&TimerLink::default()))
    );
    assert_eq!(rig.wheel.next_deadline(), None);
}

#[test]
fn a_leap_forward_costs_timers_not_ticks() {
    let mut rig = Rig::new(3);
    rig.arm(0, 0, SECOND);
    rig.arm(1, 0, DAY);
    // 290 years: stepping through 10^13 ticks would not return.
    assert_eq!(rig.expired(i64::MAX), [0, 1]);
    rig.arm(2, i64::MAX, i64::MAX);
    assert_eq!(rig.expired(i64::MAX), [0_u32; 0]);
    assert!(rig.wheel.next_deadline().is_some());
}

#[test]
fn a_small_step_back_is_no_motion() {
    let mut rig = Rig::new(1);
    rig.arm(0, 10 * SECOND, 20 * SECOND);
    for _ in 0..100 {
        assert_eq!(rig.expired(19 * SECOND + SECOND / 2), [0_u32; 0]);
        assert_eq!(rig.expired(19 * SECOND), [0_u32; 0]);
    }
    assert_eq!(rig.expired(20 * SECOND + TICK), [0]);
}

#[test]
fn a_long_step_back_keeps_the_span_left() {
    let mut rig = Rig::new(2);
    rig.arm(0, 10 * DAY, 10 * DAY + 60 * SECOND);
    assert_eq!(rig.expired(10 * DAY + 20 * SECOND), [0_u32; 0]);
    // The clock is set back by a day with 40 s to go.
    assert_eq!(rig.expired(9 * DAY), [0_u32; 0]);
    rig.arm(1, 9 * DAY, 9 * DAY + 50 * SECOND);
    assert_eq!(rig.expired(9 * DAY + 39 * SECOND), [0_u32; 0]);
    assert_eq!(rig.expired(9 * DAY + 41 * SECOND), [0]);
    assert_eq!(rig.expired(9 * DAY + 51 * SECOND), [1]);
}

#[test]
fn leaping_to_and_fro_neither_stalls_nor_overflows() {
    let mut rig = Rig::new(1);
    for _ in 0..10_000 {
        rig.arm(0, i64::MIN, i64::MIN + SECOND);
        assert_eq!(rig.expired(i64::MAX), [0]);
        assert_eq!(rig.expired(i64::MIN), [0_u32; 0]);
    }
    // 20,000 leaps of 2^64 ns counted in full would be 2^58 ticks.
    assert!(rig.wheel.current < 1 << 48);
}

#[test]
fn many_timers_of_one_bucket_are_spread_over_calls() {
    let count = 10 * MOVES_PER_CALL;
    let mut rig = Rig::new(count as usize);
    let deadline = 3_600 * SECOND;
    for slot in 0..count {
        rig.arm(slot, 0, deadline);
    }
    let mut fired = Vec::new();
    let mut calls = 0;
    while !rig.wheel.is_empty() {
        assert!(rig.wheel.next_deadline() <= Some(Timestamp(deadline + TICK)));
        fired.extend(rig.expired(deadline + TICK));
        calls += 1;
        assert!(calls < 100);
    }
    assert!(calls > 10, "{calls} calls moved {count} timers");
    assert_eq!(fired, (0..count).collect::<Vec<_>>());
}

#[test]
fn timers_armed_or_disarmed_amid_a_long_move_are_not_lost() {
    let count = 2 * MOVES_PER_CALL;
    let mut rig = Rig::new(count as usize + 1);
    for slot in 0..count {
        rig.arm(slot, 0, 3_600 * SECOND + i64::from(slot) * TICK);
    }
    let now = 3_580 * SECOND; // The bucket of 275 s they share began at 3,573 s.
    assert_eq!(rig.expired(now), [0_u32; 0]);
    assert!(
        rig.wheel.cascading.is_some(),
        "the test is to begin amid a move"
    );
    rig.wheel.disarm(&mut rig.links, count - 1);
    rig.arm(count, now, now + SECOND);
    let mut fired = Vec::new();
    for step in 0..100 {
        fired.extend(rig.expired(now + step * SECOND));
    }
    assert_eq!(fired[0], count);
    assert_eq!(fired[1..], (0..count - 1).collect::<Vec<_>>());
}

#[test]
fn the_soonest_are_shown_first_and_can_be_moved_back() {
    let mut rig = Rig::new(20);
    for slot in 0..20 {
        rig.arm(slot, 0, DAY);
    }
    assert_eq!(
        rig.wheel.soonest(&rig.links).as_slice(),
        [0, 1, 2, 3, 4, 5, 6, 7]
    );
    rig.wheel.move_back(&mut rig.links, 0);
    rig.arm(19, 0, SECOND);
    assert_eq!(rig.wheel.soonest(&rig.links).as_slice(), [19]);
    rig.wheel.disarm(&mut rig.links, 19);
    assert_eq!(
        rig.wheel.soonest(&rig.links).as_slice(),
        [1, 2, 3, 4, 5, 6, 7, 8]
    );
    assert_eq!(rig.wheel.len(), 19);
    assert!(
        TimerWheel::new(Duration::ZERO)
            .soonest(&rig.links)
            .is_empty()
    );
}

#[derive(Clone, Debug)]
enum Act {
    Arm { slot: u32, span: i64 },
    Disarm { slot: u32 },
    Advance { by: i64 },
}

const SLOTS: u32 = 12;

fn any_act() -> impl Strategy<Value = Act> {
    let span = prop_oneof![0..70 * TICK, 0..10 * SECOND, 0..2 * DAY];
    prop_oneof![
        4 => (0..SLOTS, span.clone()).prop_map(|(slot, span)| Act::Arm { slot, span }),
        1 => (0..SLOTS).prop_map(|slot| Act::Disarm { slot }),
        3 => span.prop_map(|by| Act::Advance { by }),
    ]
}

proptest! {
    #[test]
    fn the_wheel_agrees_with_a_plain_list(acts in prop::collection::vec(any_act(), 1..200)) {
        let mut rig = Rig::new(SLOTS as usize);
        let mut model = [None::<i64>; SLOTS as usize];
        let mut now = 1_700_000_000 * SECOND;
        for act in acts {
            match act {
                Act::Arm { slot, span } => {
                    rig.arm(slot, now, now + span);
                    model[slot as usize] = Some(now + span);
                }
                Act::Disarm { slot } => {
                    rig.wheel.disarm(&mut rig.links, slot);
                    model[slot as usize] = None;
                }
                Act::Advance { by } => {
                    now += by;
                    for slot in rig.expired(now) {
                        let deadline = model[slot as usize].take();
                        prop_assert!(deadline.is_some_and(|at| at <= now), "early or twice");
                    }
                }
            }
            let first = model.iter().flatten().min();
            prop_assert_eq!(rig.wheel.len() as usize, model.iter().flatten().count());
            prop_assert_eq!(rig.wheel.next_deadline().is_some(), first.is_some());
            if let (Some(call_at), Some(&first)) = (rig.wheel.next_deadline(), first) {
                prop_assert!(call_at.0 <= first.max(now) + TICK);
            }
            if let Act::Advance { .. } = act {
                prop_assert!(first.is_none_or(|&at| at > now - TICK), "late");
            }
        }
    }
}

#[test]
fn script_timers_fire_in_the_order_of_their_deadlines() {
    let mut queue = TimerQueue::new(4);
    let late = queue.push(Timestamp(30), "late").expect("room");
    queue.push(Timestamp(10), "first").expect("room");
    queue.push(Timestamp(10), "second").expect("room");
    let gone = queue.push(Timestamp(5), "gone").expect("room");
    assert_eq!(queue.push(Timestamp(1), "too many"), None);
    assert_eq!(queue.cancel(gone), Some("gone"));
    assert_eq!(queue.cancel(gone), None);

    assert_eq!(queue.next_deadline(), Some(Timestamp(10)));
    assert_eq!(queue.next_expired(Timestamp(9)), None);
    assert_eq!(queue.next_expired(Timestamp(29)), Some("first"));
    assert_eq!(queue.next_expired(Timestamp(29)), Some("second"));
    assert_eq!(queue.next_expired(Timestamp(29)), None);
    assert_eq!(queue.next_expired(Timestamp(30)), Some("late"));
    assert_eq!(queue.cancel(late), None);
    assert!(queue.is_empty());
}
