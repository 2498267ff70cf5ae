use std::collections::HashMap;

use proptest::prelude::*;

use super::super::key::tests::{neighbours, v4_key, v6_key};
use super::*;

fn table(max_flows: u32) -> FlowTable {
    FlowTable::new(max_flows, 42).expect("address space")
}

fn at(secs: i64) -> Timestamp {
    Timestamp::new(1_700_000_000 + secs, 0)
}

const IDLE: Duration = Duration::from_secs(60);

/// Adds a flow and arms it as the engine would.
fn open(table: &mut FlowTable, host: u32, opening: Opening, secs: i64) -> Result<u32, TableFull> {
    let slot = table.insert(&v4_key(host, 1000), opening, at(secs), 1)?;
    table.arm(slot, at(secs), at(secs) + IDLE);
    Ok(slot)
}

fn idle(table: &mut FlowTable, secs: i64) -> Vec<u32> {
    std::iter::from_fn(|| table.next_idle(at(secs), |_| IDLE)).collect()
}

#[test]
fn a_flow_is_found_from_both_sides_and_no_other_is() {
    let mut table = table(10);
    for key in [v4_key(1, 1000), v6_key(1, 1000)] {
        assert_eq!(table.find(&key), None);
        let slot = table
            .insert(&key, Opening::Established, at(0), 7)
            .expect("room");
        assert_eq!(table.find(&key), Some((slot, Direction::ToServer)));
        assert_eq!(
            table.find(&key.reversed()),
            Some((slot, Direction::ToClient))
        );
        for other in neighbours(key) {
            assert_eq!(table.find(&other), None, "{other:?}");
            assert_eq!(table.find(&other.reversed()), None, "{other:?}");
        }
        let record = table.record(slot).expect("live");
        assert_eq!(record.key(), key);
        assert_eq!(
            (record.first_frame, record.first_seen, record.last_seen),
            (7, at(0), at(0))
        );
    }
    assert_eq!(
        table
            .iter_live()
            .map(|(_, record)| record.id)
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn a_flow_from_an_endpoint_to_itself_has_one_direction() {
    let mut table = table(10);
    let key = FlowKey {
        dst: v4_key(1, 80).src,
        ..v4_key(1, 80)
    };
    let slot = table
        .insert(&key, Opening::HalfOpen, at(0), 1)
        .expect("room");
    assert_eq!(table.find(&key), Some((slot, Direction::ToServer)));
    assert_eq!(
        table.find(&key.reversed()),
        Some((slot, Direction::ToServer))
    );
}

#[test]
fn removing_forgets_the_flow_its_timer_and_its_generation() {
    let mut table = table(10);
    let slot = open(&mut table, 1, Opening::HalfOpen, 0).expect("room");
    let generation = table.record(slot).expect("live").generation();
    assert!(table.get(slot, generation).is_some());
    assert!(table.remove(slot));
    assert!(!table.remove(slot));
    assert_eq!(table.find(&v4_key(1, 1000)), None);
    assert_eq!((table.len(), table.half_open()), (0, 0));
    assert_eq!(table.next_deadline(), None);

    assert_eq!(
        open(&mut table, 2, Opening::HalfOpen, 0),
        Ok(slot),
        "reused"
    );
    assert!(table.get(slot, generation).is_none());
    assert_eq!(table.record(slot).map(|record| record.id), Some(2));
}

#[test]
fn a_table_can_be_filled_to_its_last_slot_and_emptied() {
    let mut table = table(5_000);
    for host in 0..5_000 {
        open(&mut table, host, Opening::Established, 0).expect("room");
    }
    assert_eq!(
        open(&mut table, 5_000, Opening::Established, 0),
        Err(TableFull::Flows)
    );
    for host in 0..5_000 {
        let (slot, _) = table.find(&v4_key(host, 1000)).expect("inserted");
        assert!(table.remove(slot));
    }
    assert!(table.is_empty() && table.v4.is_empty() && table.v6.is_empty());
}

#[test]
fn idle_flows_expire_and_active_ones_are_looked_at_again() {
    let mut table = table(10);
    let quiet = open(&mut table, 1, Opening::Established, 0).expect("room");
    let busy = open(&mut table, 2, Opening::Established, 0).expect("room");
    table
        .record_mut(busy)
        .expect("live")
        .count(Direction::ToClient, 100, at(30));
    assert_eq!(idle(&mut table, 59), [0_u32; 0]);
    assert_eq!(idle(&mut table, 61), [quiet]);
    assert!(table.remove(quiet));
    assert_eq!(idle(&mut table, 89), [0_u32; 0]);
    assert_eq!(idle(&mut table, 91), [busy]);
}

#[test]
fn expiry_does_not_wait_for_a_time_that_was_set_back() {
    let mut table = table(10);
    let slot = open(&mut table, 1, Opening::Established, 86_400).expect("room");
    assert_eq!(idle(&mut table, 0), [0_u32; 0]);
    assert_eq!(idle(&mut table, 61), [0_u32; 0], "first noticed here");
    assert_eq!(idle(&mut table, 120), [0_u32; 0]);
    assert_eq!(idle(&mut table, 122), [slot]);
}

#[test]
fn an_answer_moves_a_flow_out_of_the_half_open_ones() {
    let mut table = table(10);
    let slot = open(&mut table, 1, Opening::HalfOpen, 0).expect("room");
    assert_eq!(
        (table.half_open(), table.oldest_half_open()),
        (1, Some(slot))
    );
    table.establish(slot);
    table.establish(slot);
    assert_eq!((table.half_open(), table.oldest_half_open()), (0, None));
    assert_eq!(table.next_deadline(), None, "disarmed");
    table.arm(slot, at(1), at(10));
    assert_eq!(table.oldest_idle(), Some(slot));
    assert!(table.remove(slot));
    assert_eq!((table.half_open(), table.len()), (0, 0));
}

#[test]
fn half_open_flows_have_a_cap_and_displace_only_each_other() {
    let mut table = table(4);
    table.set_max_half_open(2);
    let settled = open(&mut table, 1, Opening::Established, 0).expect("room");
    let oldest = open(&mut table, 2, Opening::HalfOpen, 1).expect("room");
    open(&mut table, 3, Opening::HalfOpen, 2).expect("room");
    assert_eq!(
        open(&mut table, 4, Opening::HalfOpen, 3),
        Err(TableFull::HalfOpen)
    );
    assert_eq!(table.evict_candidate(Opening::HalfOpen), Some(oldest));

    // Filled with established flows, there is no victim for a newcomer
    // that nobody answered.
    for slot in 0..4 {
        table.establish(slot);
        table.arm(slot, at(4), at(4) + IDLE);
    }
    open(&mut table, 5, Opening::Established, 5).expect("room");
    assert_eq!(
        open(&mut table, 6, Opening::HalfOpen, 6),
        Err(TableFull::Flows)
    );
    assert_eq!(table.evict_candidate(Opening::HalfOpen), None);
    let victim = table
        .evict_candidate(Opening::Established)
        .expect("there are idle flows");
    assert_eq!(victim, settled);
}

#[test]
fn the_victim_is_idle_longer_than_the_others_looked_at() {
    let mut table = table(100);
    for host in 0..100 {
        open(&mut table, host, Opening::Established, 0).expect("room");
    }
    for slot in (0..100).filter(|slot| slot % 10 != 5) {
        table
            .record_mut(slot)
            .expect("live")
            .count(Direction::ToServer, 1, at(20));
    }
    // Each call passes over the active ones, so that all idle ones are found.
    let mut victims = Vec::new();
    for _ in 0..40 {
        let victim = table.oldest_idle().expect("flows are armed");
        if victim % 10 == 5 {
            victims.push(victim);
        }
        assert!(table.remove(victim));
    }
    victims.sort_unstable();
    assert_eq!(victims, [5, 15, 25, 35, 45, 55, 65, 75, 85, 95]);
}

#[test]
fn equal_seeds_give_equal_tables() {
    let run = || {
        let mut table = table(200);
        let mut log = Vec::new();
        for host in 0..400 {
            if let Err(TableFull::Flows) = open(&mut table, host, Opening::Established, 0) {
                let victim = table.evict_candidate(Opening::Established).expect("idle");
                log.push(victim);
                table.remove(victim);
            }
        }
        log.extend(idle(&mut table, 100));
        log
    };
    assert_eq!(run(), run());
}

proptest! {
    #[test]
    fn the_table_agrees_with_a_plain_map(
        acts in prop::collection::vec((0..40_u32, any::<bool>(), any::<bool>()), 1..300),
    ) {
        let mut table = table(16);
        let mut model = HashMap::new();
        for (host, v6, half_open) in acts {
            let key = if v6 { v6_key(host, 9) } else { v4_key(host, 9) };
            let found = table.find(&key.reversed()).map(|(slot, _)| slot);
            prop_assert_eq!(found, model.get(&key).map(|&(slot, _)| slot));
            if let Some(slot) = found {
                prop_assert!(table.remove(slot));
                model.remove(&key);
                continue;
            }
            let opening = if half_open { Opening::HalfOpen } else { Opening::Established };
            match table.insert(&key, opening, at(0), 1) {
                Ok(slot) => {
                    table.arm(slot, at(0), at(1));
                    model.insert(key, (slot, half_open));
                }
                Err(full) => {
                    prop_assert_eq!(model.len(), 16);
                    let all_half_open = table.half_open() == 16;
                    prop_assert!(full == TableFull::Flows || half_open && all_half_open);
                }
            }
            prop_assert_eq!(table.len() as usize, model.len());
            let half_open = model.values().filter(|&&(_, half_open)| half_open).count();
            prop_assert_eq!(table.half_open() as usize, half_open);
            prop_assert_eq!(table.oldest_half_open().is_some(), half_open > 0);
        }
    }
}
