use super::*;
use crate::event::DropReason;
use crate::event::profile::CapPolicy;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn both_ends_hear_what_the_listener_made(data in prop::collection::vec(any::<u8>(), 6..400)) {
        fuzz_tcp(&data);
    }
}

/// What an end says and does so that its bytes are held before a hole and
/// repeated; then what is missing, so that they leave.
fn holds_before_a_hole(side: u8, sizes: [u8; 3], fills: bool) -> Vec<u8> {
    let [held, missing, behind] = sizes;
    let side = side << 7;
    // What acknowledges all that is under way arrives first.
    let mut spell = [3, 0, 0].repeat(3);
    spell.extend([side, held, side | 6, missing, side, behind]);
    // From what is acknowledged on, which is what is held.
    spell.extend([side | 2, held, 40, 3, 0, 0, 3, 0, 0]);
    if fills {
        spell.extend([side | 2, missing, 40]);
    }
    spell
}

fn steps() -> impl Strategy<Value = Vec<u8>> {
    let any_step = prop::collection::vec(any::<u8>(), 1..8);
    let hole = (0..2u8, any::<[u8; 3]>(), any::<bool>())
        .prop_map(|(side, sizes, fills)| holds_before_a_hole(side, sizes, fills));
    let small = (0..2u8, prop::array::uniform3(0..20u8), any::<bool>())
        .prop_map(|(side, sizes, fills)| holds_before_a_hole(side, sizes, fills));
    prop_oneof![any_step, hole, small]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn what_is_acknowledged_while_it_is_held_arrives(
        family in 0..2u8,
        head in any::<[u8; 6]>(),
        steps in prop::collection::vec(steps(), 1..30),
    ) {
        let mut data = vec![6 | family];
        data.extend(head);
        data.extend(steps.concat());
        fuzz_tcp(&data);
    }
}

#[test]
fn held_bytes_are_acknowledged_and_leave_again() {
    let mut sums = [0; 2];
    for family in 0..2 {
        for (mode, side) in (0..6).flat_map(|mode| [(mode, 0), (mode, 1)]) {
            let mut data = vec![6 | family, mode, mode, 125, 255, 120, 255];
            // What leaves at last is lost: the network is made anew.
            data.extend(holds_before_a_hole(side, [10, 20, 30], true));
            let stats = play(&data);
            sums[0] += stats.vouched_acks;
            sums[1] += stats.vouched_again;
        }
    }
    assert!(sums.iter().all(|&sum| sum > 0), "{sums:?}");
}

/// A world after its handshake, whose caps are a thousand bytes.
fn capped(policy: CapPolicy) -> World {
    // The listener holds the first piece and edits nothing.
    let mut world = World::new(&mut Dice {
        data: &[2, 0, 0, 0, 255, 0, 255],
    });
    {
        let settings = &mut world.engine.borrow_mut().core.settings;
        (
            settings.hold_bytes,
            settings.reassembly_bytes,
            settings.hold_policy,
        ) = (1000, 1000, policy);
    }
    world.shake_hands();
    world
}

#[test]
fn readers_that_hold_too_much_are_passed_or_dropped() {
    for policy in [CapPolicy::Release, CapPolicy::Drop] {
        let mut world = capped(policy);
        world.say(0, 0, 500, false, false);
        assert!(world.on_the_way.is_empty(), "the listener holds it");
        world.say(0, 500, 600, false, false);
        let stats = world.engine.borrow().core.stats.clone();
        assert_eq!(stats.hold_caps, 1);
        let released = policy == CapPolicy::Release;
        assert_eq!(world.on_the_way.len(), if released { 2 } else { 0 });
        assert_eq!(stats.unjudged, if released { 2 } else { 0 });
        assert_eq!(
            stats.drops[DropReason::HoldCap as usize],
            if released { 0 } else { 2 }
        );
    }
}

#[test]
fn a_full_reassembly_queue_is_passed_or_refuses() {
    for policy in [CapPolicy::Release, CapPolicy::Drop] {
        let mut world = capped(policy);
        world.ends[0].sent = 100;
        world.say(0, 100, 600, false, false);
        assert!(world.on_the_way.is_empty(), "bytes before it are missing");
        world.say(0, 700, 600, false, false);
        let stats = world.engine.borrow().core.stats.clone();
        assert_eq!(stats.reassembly_caps, 1);
        let released = policy == CapPolicy::Release;
        assert_eq!(world.on_the_way.len(), if released { 2 } else { 0 });
        assert_eq!(
            stats.drops[DropReason::ReassemblyCap as usize],
            u64::from(!released)
        );
    }
}

/// The promises are kept where it is hard: what they are about happens.
#[test]
fn live_worlds_send_ahead_and_tell_of_holes() {
    let mut state = 1_u64;
    let mut throw = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
        (state >> 56) as u8
    };
    let mut sums = [0; 3];
    for number in 0..150_u8 {
        let mut data: Vec<u8> = (0..300).map(|_| throw()).collect();
        // Live, v4 and v6, holding and not, every third signed.
        data[0] = 4 | number & 3 | u8::from(number % 3 == 0) << 3;
        let stats = play(&data);
        let seen = [stats.sent_ahead, stats.hold_timeouts, stats.behalf_acks];
        for (sum, seen) in sums.iter_mut().zip(seen) {
            *sum += seen;
        }
    }
    assert!(sums.iter().all(|&sum| sum > 0), "{sums:?}");
}

#[test]
fn every_script_alone_on_a_perfect_network() {
    for mode in 0..6 {
        for shape in 0..4 {
            fuzz_tcp(&[shape, mode, 5 - mode, 200, 255, 3, 100]);
        }
    }
}
