//! Times as people and programs read them, by calendar arithmetic. There is no clock here.

/// A moment of UTC on the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CivilTime {
    /// Year, e.g. 2026.
    pub year: i64,
    /// 1 to 12.
    pub month: i64,
    /// 1 to 31.
    pub day: i64,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
    /// 0 to 59.
    pub second: i64,
    /// 0 to 999.
    pub millisecond: i64,
}

const DAY_MS: i64 = 86_400_000;
/// Days of 400 years, after which the calendar repeats.
const ERA_DAYS: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Calendar of a time given in milliseconds since the epoch, UTC. Years are counted from March, so
/// that the leap day is the last day of a year.
pub const fn civil(ms: i64) -> CivilTime {
    let day = ms.div_euclid(DAY_MS) + EPOCH_DAYS;
    let in_day = ms.rem_euclid(DAY_MS);
    let era = day.div_euclid(ERA_DAYS);
    let day_of_era = day.rem_euclid(ERA_DAYS);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    CivilTime {
        year: year_of_era + era * 400 + (month <= 2) as i64,
        month,
        day: day_of_year - (153 * march_month + 2) / 5 + 1,
        hour: in_day / 3_600_000,
        minute: in_day / 60_000 % 60,
        second: in_day / 1_000 % 60,
        millisecond: in_day % 1_000,
    }
}

/// RFC 3339 in UTC with milliseconds: `2026-01-31T08:00:00.000Z`.
pub fn timestamp(ms: i64) -> String {
    let CivilTime { year, month, day, hour, minute, second, millisecond } = civil(ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}Z")
}
