use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("the test states an address")
}

/// A binary tree of addresses, before it is written in either format.
#[derive(Default)]
struct Tree(Vec<[Option<Slot>; 2]>);

#[derive(Clone, Copy)]
enum Slot {
    Node(usize),
    Leaf(u32),
}

impl Tree {
    fn insert(&mut self, address: u128, bits: u32, length: u32, leaf: u32) {
        if self.0.is_empty() {
            self.0.push([None; 2]);
        }
        let mut node = 0;
        for depth in 0..length {
            let side = (address >> (bits - 1 - depth) & 1) as usize;
            if depth + 1 == length {
                self.0[node][side] = Some(Slot::Leaf(leaf));
                return;
            }
            node = match self.0[node][side] {
                Some(Slot::Node(next)) => next,
                _ => {
                    self.0.push([None; 2]);
                    let next = self.0.len() - 1;
                    self.0[node][side] = Some(Slot::Node(next));
                    next
                }
            };
        }
    }

    fn records(&self, leaf: impl Fn(Option<u32>) -> u32) -> Vec<u32> {
        let record = |slot: &Option<Slot>| match slot {
            None => leaf(None),
            Some(Slot::Leaf(value)) => leaf(Some(*value)),
            Some(Slot::Node(node)) => *node as u32,
        };
        self.0.iter().flatten().map(record).collect()
    }
}

fn legacy(tree: &Tree, edition: u8) -> Vec<u8> {
    let records = tree.records(|leaf| 0xff_ff00 + leaf.unwrap_or(0));
    let mut file: Vec<u8> = records
        .iter()
        .flat_map(|record| record.to_le_bytes()[..3].to_vec())
        .collect();
    file.extend(b"\0\0\0test\xff\xff\xff");
    file.push(edition);
    file
}

/// Numbers of the US and of Germany.
const US: u32 = 225;
const DE: u32 = 56;

fn v4_file() -> Vec<u8> {
    let mut tree = Tree::default();
    tree.insert(0x0808_0800, 32, 24, US);
    tree.insert(0xc000_0200, 32, 32, DE);
    legacy(&tree, 1)
}

// MaxMind DB: a control byte holds a type and a length; small ones only.

fn text(value: &str) -> Vec<u8> {
    let mut bytes = vec![2 << 5 | value.len() as u8];
    bytes.extend(value.bytes());
    bytes
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = vec![7 << 5 | entries.len() as u8];
    for (name, value) in entries {
        bytes.extend(text(name));
        bytes.extend(value);
    }
    bytes
}

fn u16_value(value: u16) -> Vec<u8> {
    [&[5 << 5 | 2][..], &value.to_be_bytes()].concat()
}

fn u32_value(value: u32) -> Vec<u8> {
    [&[6 << 5 | 4][..], &value.to_be_bytes()].concat()
}

/// A database of both families with one record a network.
fn maxmind(networks: &[(IpAddr, u32, Vec<u8>)]) -> Vec<u8> {
    let (mut tree, mut data, mut places) = (Tree::default(), Vec::<u8>::new(), BTreeMap::new());
    for (number, (address, length, record)) in networks.iter().enumerate() {
        let (bits, length) = match address {
            IpAddr::V4(address) => (u32::from(*address).into(), length + 96),
            IpAddr::V6(address) => (u128::from(*address), *length),
        };
        places.insert(number as u32, data.len() as u32);
        data.extend(record);
        tree.insert(bits, 128, length, number as u32);
    }
    let nodes = tree.0.len() as u32;
    let records = tree.records(|leaf| leaf.map_or(nodes, |leaf| nodes + 16 + places[&leaf]));
    let mut file: Vec<u8> = records
        .iter()
        .flat_map(|record| record.to_be_bytes()[1..].to_vec())
        .collect();
    file.extend([0; 16]);
    file.extend(data);
    file.extend(MAXMIND);
    file.extend(map(&[
        ("node_count", u32_value(nodes)),
        ("record_size", u16_value(24)),
        ("ip_version", u16_value(6)),
        ("database_type", text("Test-City")),
        ("languages", vec![0, 4]),
        ("binary_format_major_version", u16_value(2)),
        ("binary_format_minor_version", u16_value(0)),
        ("build_epoch", vec![1, 2, 7]),
        ("description", map(&[])),
    ]));
    file
}

fn city(code: &str, name: &str) -> Vec<u8> {
    map(&[
        ("country", map(&[("iso_code", text(code))])),
        ("city", map(&[("names", map(&[("en", text(name))]))])),
    ])
}

fn mmdb_file() -> Vec<u8> {
    maxmind(&[
        (ip("8.8.8.0"), 24, city("US", "Mountain View")),
        (ip("2001:db8::"), 32, city("FR", "Brest")),
        (ip("9.0.0.0"), 8, map(&[("asn", u32_value(64_500))])),
    ])
}

fn open(file: Vec<u8>) -> Result<Database, String> {
    Database::read(file.into())
}

fn country(database: &Database, address: &str) -> Option<String> {
    database.country(ip(address))
}

#[test]
fn legacy_databases_know_the_countries_of_one_family() {
    let database = open(v4_file()).expect("a good file");
    assert_eq!(country(&database, "8.8.8.8").as_deref(), Some("US"));
    assert_eq!(country(&database, "192.0.2.0").as_deref(), Some("DE"));
    for nowhere in ["8.8.9.0", "192.0.2.1", "255.255.255.255", "::808:808"] {
        assert_eq!(country(&database, nowhere), None, "{nowhere}");
    }
    let mut tree = Tree::default();
    tree.insert(0x2001_0db8 << 96, 128, 32, DE);
    let database = open(legacy(&tree, 12 + 105)).expect("a good file");
    assert_eq!(country(&database, "2001:db8::1").as_deref(), Some("DE"));
    assert_eq!(country(&database, "2001:db9::1"), None);
    assert_eq!(country(&database, "8.8.8.8"), None);
}

#[test]
fn maxmind_databases_know_both_families_and_more() {
    let database = open(mmdb_file()).expect("a good file");
    assert_eq!(country(&database, "8.8.8.8").as_deref(), Some("US"));
    assert_eq!(country(&database, "2001:db8::1").as_deref(), Some("FR"));
    assert_eq!(country(&database, "9.1.1.1"), None);
    assert_eq!(country(&database, "10.0.0.1"), None);
    let record = database.record(ip("8.8.8.8")).expect("whole");
    let record = record.expect("there is one");
    assert_eq!(record["city"]["names"]["en"], "Mountain View");
    let record = database.record(ip("9.1.1.1")).expect("whole");
    assert_eq!(record.expect("there is one")["asn"], 64_500);
}

#[test]
fn what_is_no_database_is_refused_with_a_reason() {
    let refused = |file: Vec<u8>| open(file).err().expect("no database");
    assert!(refused(Vec::new()).contains("neither"));
    assert!(refused(b"return 1".to_vec()).contains("neither"));
    assert!(refused([b'x'; 100].to_vec()).contains("neither"));
    let mut city = v4_file();
    *city.last_mut().expect("not empty") = 2;
    assert!(refused(city).contains("edition 2"));
    // A path that leads to a node that is not there.
    let mut hole = v4_file();
    hole.splice(18.., *b"\0\0\0\0\0\0\xff\xff\xff\x01");
    assert!(refused(hole).contains("damaged"));
    let mut cut = mmdb_file();
    cut.truncate(cut.len() - 20);
    open(cut).err().expect("metadata are missing");
}

/// Codes sit at fixed numbers: some that are far apart.
#[test]
fn numbers_of_countries() {
    for (number, code) in [(1, "AP"), (56, "DE"), (74, "FR"), (225, "US"), (254, "SS")] {
        let mut tree = Tree::default();
        tree.insert(0, 32, 1, number);
        let database = open(legacy(&tree, 1)).expect("a good file");
        assert_eq!(country(&database, "1.2.3.4").as_deref(), Some(code));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn damage_is_survived(
        mmdb: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in any::<prop::sample::Index>(),
        v4: u32,
        v6: u128,
    ) {
        let mut file = if mmdb { mmdb_file() } else { v4_file() };
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        if v4 & 1 == 1 {
            file.drain(..cut.index(file.len()) / 4);
        }
        if let Ok(database) = open(file) {
            for address in [IpAddr::from(v4.to_be_bytes()), IpAddr::from(v6.to_be_bytes())] {
                let _ = database.country(address);
                let _ = database.record(address);
            }
        }
    }
}
