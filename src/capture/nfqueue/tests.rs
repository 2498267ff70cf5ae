//! Tests of the parts that need no kernel.

mod messages;
mod outbox;

/// A worker opens its queue where it may and serves it where it runs.
#[test]
fn queues_may_change_threads() {
    fn movable<T: Send>() {}
    movable::<super::Queue>();
    movable::<crate::capture::inject::Injector>();
}

#[test]
fn ids_that_were_passed_over_are_losses() {
    for (last, next, lost) in [
        (1, 2, 0),
        (1, 5, 3),
        (u32::MAX, 0, 0),
        (u32::MAX - 1, 2, 3),
        (7, 7, 0),
        (7, 3, 0),
    ] {
        assert_eq!(super::skipped(last, next), lost, "{last} to {next}");
    }
}

#[test]
fn what_was_granted_is_one_line() {
    use super::{Granted, Refusal, Wish};
    let granted = Granted {
        number: 4,
        gso: true,
        buffer: 212_992,
        refused: vec![Refusal {
            wish: Wish::FailOpen,
            error: std::io::Error::from_raw_os_error(libc::EOPNOTSUPP),
        }],
        ..Granted::default()
    };
    assert_eq!(
        granted.to_string(),
        "queue 4: packets before segmentation, closed when full, the kernel's length, \
         buffer of 212 kB; refused: fail-open (Operation not supported (os error 95))"
    );
}
