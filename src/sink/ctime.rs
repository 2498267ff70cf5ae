//! Points in time for human and machine readers.
//!
//! The local zone is that of the `TZ` variable (a name such as
//! `Europe/Paris`, or a POSIX rule), else the system's. Where neither can be
//! made sense of, times are in UTC, as the C library has it.

use jiff::tz::TimeZone;

use crate::time::Timestamp;

/// Local time in the layout of C's `ctime`, without its line end:
/// `Mon Jan 20 17:44:43 2014`.
pub fn ctime(timestamp: Timestamp) -> String {
    ctime_in(timestamp, TimeZone::try_system().unwrap_or(TimeZone::UTC))
}

fn ctime_in(timestamp: Timestamp, zone: TimeZone) -> String {
    to_jiff(timestamp)
        .to_zoned(zone)
        .strftime("%a %b %e %H:%M:%S %Y")
        .to_string()
}

/// UTC with microseconds, in the form that EVE readers expect, which is
/// RFC 3339 but for the colon in the offset:
/// `2026-11-21T08:07:29.123456+0000`.
pub fn rfc3339_micros(timestamp: Timestamp) -> String {
    let seconds = to_jiff(timestamp).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    format!("{seconds}.{:06}+0000", timestamp.subsec_nanos() / 1_000)
}

fn to_jiff(timestamp: Timestamp) -> jiff::Timestamp {
    jiff::Timestamp::from_nanosecond(i128::from(timestamp.0))
        .expect("jiff reaches thousands of years beyond 64 bits of nanoseconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ctime_pads_the_day_and_follows_the_zone() {
        let paris = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a POSIX rule");
        let winter = Timestamp::new(1_390_236_283, 1_961_000);
        assert_eq!(ctime_in(winter, paris()), "Mon Jan 20 17:44:43 2014");
        assert_eq!(ctime_in(winter, TimeZone::UTC), "Mon Jan 20 16:44:43 2014");
        let summer = Timestamp::new(1_404_338_407, 0);
        assert_eq!(ctime_in(summer, paris()), "Thu Jul  3 00:00:07 2014");
    }

    #[test]
    fn the_ends_of_time_have_a_text() {
        assert_eq!(
            ctime_in(Timestamp(i64::MIN), TimeZone::UTC),
            "Tue Sep 21 00:12:43 1677"
        );
        assert_eq!(
            rfc3339_micros(Timestamp(i64::MAX)),
            "2262-04-11T23:47:16.854775+0000"
        );
        assert_eq!(ctime(Timestamp(i64::MAX)).len(), 24);
    }

    #[test]
    fn micros_are_cut_towards_the_past() {
        let at = |nanos| rfc3339_micros(Timestamp(nanos));
        assert_eq!(
            at(1_795_248_449_123_456_789),
            "2026-11-21T08:07:29.123456+0000"
        );
        assert_eq!(
            at(1_795_248_449_000_007_000),
            "2026-11-21T08:07:29.000007+0000"
        );
        assert_eq!(at(-1), "1969-12-31T23:59:59.999999+0000");
    }
}
