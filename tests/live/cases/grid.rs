//! Bodies that rules rewrite: both ends get what they should, on every kind of
//! link, in time, and in little memory.

use std::thread;
use std::time::{Duration, Instant};

use crate::body::Body;
use crate::clients::{self, Direction, Exchange, Order};
use crate::harness::{Case, Outcome, Pace};
use crate::net::{BOTH, Family, Link, Net};
use crate::relay::{BAD, Relay};
use crate::servers::{self, Server};
use crate::traffic;
use crate::wero::{Run, Wero};

pub const CASES: &[Case] = &[
    Case {
        name: "grid::quick",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || Grid::on(Link::Whole).small(&[1, 7, 1460, 50_000]).finish(),
    },
    Case {
        name: "grid::small-bad-link",
        pace: Pace::Slow,
        needs: &["ip"],
        run: || {
            Grid::on(Link::Lossy(BAD))
                .small(&[1, 20_000, 300_000])
                .finish()
        },
    },
    Case {
        name: "grid::quick-dense",
        pace: Pace::Quick,
        needs: &["ip"],
        run: || Grid::on(Link::Whole).dense().finish(),
    },
    Case {
        name: "grid::whole-segments",
        pace: Pace::Slow,
        needs: &["ip"],
        run: || Grid::on(Link::Whole).small(SIZES).dense().large().finish(),
    },
    Case {
        name: "grid::merged-on-the-gateway",
        pace: Pace::Slow,
        needs: &["ip", "ethtool"],
        run: || Grid::on(Link::Wire).small(SIZES).dense().large().finish(),
    },
    Case {
        name: "grid::no-offload",
        pace: Pace::Slow,
        needs: &["ip", "ethtool"],
        run: || {
            Grid::on(Link::Segmented)
                .small(SIZES)
                .dense()
                .large()
                .finish()
        },
    },
    Case {
        name: "grid::bad-link",
        pace: Pace::Slow,
        needs: &["ip"],
        run: || {
            Grid::on(Link::Lossy(BAD))
                .small(SIZES)
                .dense()
                .large()
                .finish()
        },
    },
    Case {
        name: "grid::memory",
        pace: Pace::Slow,
        needs: &["ip"],
        run: memory,
    },
];

/// Around the places where segments end: the MTU, and what GSO puts together.
const SIZES: &[usize] = &[
    1, 6, 7, 100, 1447, 1448, 1460, 2900, 10_000, 64_000, 65_536, 300_000, 1_000_000,
];

const REPLACEMENTS: [Option<usize>; 4] = [None, Some(1), Some(10), Some(3000)];

const LARGE: usize = 50_000_000;

/// For one body of 50 MB, also where packets are lost and this is a build for
/// development.
const LARGE_IN: Duration = Duration::from_secs(40);

/// More failures say nothing more.
const ENOUGH: usize = 4;

/// Of one flow, in KiB.
const MEMORY_OF_A_FLOW: u64 = 1024;

struct Grid {
    net: Net,
    wero: Wero,
    _server: Server,
    failures: Vec<String>,
    done: usize,
    slowest: Duration,
}

impl Grid {
    fn on(link: Link) -> GridResult {
        let net = Net::new(link)?;
        let server = Server::start(
            &net.server,
            &BOTH.map(|family| family.at(80)),
            servers::serve_http,
        )?;
        let wero = Run::gateway(&net.gateway).rules("replace.lua").start()?;
        Ok(Grid {
            net,
            wero,
            _server: server,
            failures: Vec::new(),
            done: 0,
            slowest: Duration::ZERO,
        })
    }

    fn converse(&mut self, family: Family, exchanges: &[Exchange], order: Order) {
        if self.failures.len() >= ENOUGH {
            return;
        }
        match clients::converse(&self.net.client, family.at(80), exchanges, order) {
            Ok(took) => {
                self.done += exchanges.len();
                self.slowest = self.slowest.max(took);
            }
            Err(why) => self.failures.push(format!("{family:?} {order:?} {why}")),
        }
    }
}

type GridResult = Result<Grid, String>;

/// The parts of a grid, one after the other.
trait Parts {
    fn small(self, sizes: &[usize]) -> Self;
    fn dense(self) -> Self;
    fn large(self) -> Self;
    fn finish(self) -> Outcome;
}

impl Parts for GridResult {
    /// Every size, replacement, order, family and framing.
    fn small(mut self, sizes: &[usize]) -> Self {
        if let Ok(grid) = &mut self {
            for family in BOTH {
                for replacement in REPLACEMENTS {
                    let exchanges = traffic::exchanges(sizes, replacement, Some(1000));
                    grid.converse(family, &exchanges, Order::KeepAlive);
                    grid.converse(family, &exchanges, Order::Pipelined);
                }
            }
        }
        self
    }

    /// Bodies in which many cuts go through a token.
    fn dense(mut self) -> Self {
        if let Ok(grid) = &mut self {
            for (replacement, size) in [(1, 1_000_000), (10, 1_000_000), (3000, 20_000)] {
                for family in BOTH {
                    let exchanges: Vec<Exchange> = [Direction::Down, Direction::Up]
                        .into_iter()
                        .flat_map(|direction| [None, Some(1000)].map(|chunk| (direction, chunk)))
                        .map(|(direction, chunk)| Exchange {
                            direction,
                            body: Body::dense(size),
                            replacement: Some(replacement),
                            chunk,
                        })
                        .collect();
                    grid.converse(family, &exchanges, Order::KeepAlive);
                }
            }
        }
        self
    }

    /// 50 MB each way, alone on a connection.
    fn large(mut self) -> Self {
        if let Ok(grid) = &mut self {
            let body = Body {
                seed: 99,
                size: LARGE,
            };
            for (family, replacement) in [(Family::V4, 3000), (Family::V6, 10), (Family::V4, 1)] {
                for direction in [Direction::Down, Direction::Up] {
                    let exchange = Exchange {
                        direction,
                        body,
                        replacement: Some(replacement),
                        chunk: None,
                    };
                    let start = Instant::now();
                    grid.converse(family, &[exchange], Order::KeepAlive);
                    if start.elapsed() > LARGE_IN {
                        let took = start.elapsed();
                        let slow = format!("{family:?} {exchange:?} took {took:.1?}");
                        grid.failures.push(slow);
                    }
                }
            }
        }
        self
    }

    fn finish(self) -> Outcome {
        let mut grid = self?;
        if !grid.failures.is_empty() {
            return Err(grid.failures.join("; "));
        }
        grid.wero.stop()?;
        let relay = grid.net.relay.as_ref().map(Relay::describe);
        let relay = relay.map(|text| format!("; {text}")).unwrap_or_default();
        Ok(format!(
            "{} exchanges, slowest connection {:.1?}{relay}",
            grid.done, grid.slowest
        ))
    }
}

/// Flows at the same time, each with a body that is rewritten all along.
fn memory() -> Outcome {
    const FLOWS: u64 = 32;
    let mut grid = Grid::on(Link::Whole)?;
    let exchange = Exchange {
        direction: Direction::Down,
        body: Body {
            seed: 5,
            size: 5_000_000,
        },
        replacement: Some(3000),
        chunk: None,
    };
    // What a first flow makes once and for all is no part of any.
    for direction in [Direction::Down, Direction::Up] {
        grid.converse(
            Family::V4,
            &[Exchange {
                direction,
                ..exchange
            }],
            Order::KeepAlive,
        );
    }
    let before = grid.wero.memory()?;
    let mut most = before;
    let failures: Vec<String> = thread::scope(|scope| {
        let flows: Vec<_> = (0..FLOWS)
            .map(|number| {
                let direction = [Direction::Down, Direction::Up][number as usize % 2];
                let family = BOTH[number as usize / 2 % 2];
                let net = &grid.net;
                scope.spawn(move || {
                    let exchange = Exchange {
                        direction,
                        ..exchange
                    };
                    let client = &net.client;
                    clients::converse(client, family.at(80), &[exchange], Order::KeepAlive)
                })
            })
            .collect();
        while flows.iter().any(|flow| !flow.is_finished()) {
            most = most.max(grid.wero.memory().unwrap_or_default());
            thread::sleep(Duration::from_millis(5));
        }
        let outcome = |flow: thread::ScopedJoinHandle<'_, Result<Duration, String>>| {
            flow.join().unwrap_or_else(|_| Err("panicked".to_string()))
        };
        flows
            .into_iter()
            .filter_map(|flow| outcome(flow).err())
            .collect()
    });
    if let Some(first) = failures.first() {
        return Err(format!("{} flows failed: {first}", failures.len()));
    }
    let each = (most - before) / FLOWS;
    if each > MEMORY_OF_A_FLOW {
        return Err(format!(
            "{each} KiB more for each of {FLOWS} flows ({before} before, {most} at most)"
        ));
    }
    grid.wero.stop()?;
    Ok(format!(
        "{each} KiB a flow, {before} KiB before, {most} KiB at most"
    ))
}
