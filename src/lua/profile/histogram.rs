//! Times as counts in buckets that grow with them: a quantile is right to
//! one part in sixteen, the largest exactly.

/// Buckets to each power of two.
const STEPS: usize = 16;
const SHIFT: u32 = STEPS.trailing_zeros();
const BUCKETS: usize = (64 - SHIFT as usize + 1) * STEPS;

/// Nanoseconds seen.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u32; BUCKETS]>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: Box::new([0; BUCKETS]),
            count: 0,
            max: 0,
        }
    }
}

impl Histogram {
    #[inline]
    pub fn add(&mut self, value: u64) {
        self.count += 1;
        self.max = self.max.max(value);
        if let Some(bucket) = self.buckets.get_mut(bucket_of(value)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value below which `percent` of all lie, rounded up to the end of
    /// its bucket.
    pub fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.count * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, &count) in self.buckets.iter().enumerate() {
            seen += u64::from(count);
            if seen >= rank.max(1) {
                return end_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

fn bucket_of(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    let power = value.ilog2();
    let step = (value >> (power - SHIFT)) as usize - STEPS;
    (power - SHIFT + 1) as usize * STEPS + step
}

/// The largest value of a bucket.
fn end_of(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let power = (bucket / STEPS - 1) as u32;
    let first = (STEPS + bucket % STEPS) as u128;
    let end = ((first + 1) << power) - 1;
    u64::try_from(end).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_value_lies_in_its_bucket(value: u64) {
            let bucket = bucket_of(value);
            prop_assert!(bucket < BUCKETS);
            prop_assert!(value <= end_of(bucket));
            prop_assert!(bucket == 0 || value > end_of(bucket - 1));
            prop_assert!(end_of(bucket) - value <= value / 16);
        }
    }

    #[test]
    fn percentiles_are_values_seen_or_close_above() {
        let mut histogram = Histogram::default();
        for value in 1..=100 {
            histogram.add(value * 1000);
        }
        let p99 = histogram.percentile(99);
        assert!((99_000..=99_000 + 99_000 / 16).contains(&p99), "{p99}");
        assert_eq!(
            (histogram.percentile(100), histogram.max()),
            (100_000, 100_000)
        );
        assert_eq!(Histogram::default().percentile(99), 0);
    }
}
