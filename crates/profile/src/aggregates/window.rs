//! The bytes of a window inside a part.

use crate::PartError;
use crate::codec::{Reader, put_i64, put_text, put_time, put_u64};
use kith_expr::{CalendarUnit, MAX_PERIODS, Periods, Window, Zone};
use kith_types::Duration;

pub(crate) fn put_window(out: &mut Vec<u8>, window: &Window) {
    match window {
        Window::AllTime => out.push(0),
        Window::Last(span) => {
            out.push(1);
            put_i64(out, span.as_micros());
        }
        Window::BeforeLast(span) => {
            out.push(2);
            put_i64(out, span.as_micros());
        }
        Window::Ago { from, to } => {
            out.push(3);
            put_i64(out, from.as_micros());
            put_i64(out, to.as_micros());
        }
        Window::Calendar(periods) => {
            let unit = CalendarUnit::ALL.iter().position(|unit| *unit == periods.unit);
            out.push(4);
            out.push(unit.unwrap_or_default() as u8);
            put_u64(out, u64::from(periods.previous));
            put_text(out, periods.zone.name());
        }
        Window::Between { from, to } => {
            out.push(5);
            put_time(out, *from);
            put_time(out, *to);
        }
    }
}

/// Version 1 had a span alone, 0 for *all time*.
pub(crate) fn window_of(reader: &mut Reader<'_>, version: u8) -> Result<Window, PartError> {
    if version == 1 {
        let span = Duration::from_micros(reader.i64()?);
        return Ok(match span.as_micros() {
            0 => Window::AllTime,
            _ => Window::Last(span),
        });
    }
    Ok(match reader.byte()? {
        0 => Window::AllTime,
        1 => Window::Last(Duration::from_micros(reader.i64()?)),
        2 => Window::BeforeLast(Duration::from_micros(reader.i64()?)),
        3 => Window::Ago {
            from: Duration::from_micros(reader.i64()?),
            to: Duration::from_micros(reader.i64()?),
        },
        4 => {
            let unit = CalendarUnit::ALL.get(usize::from(reader.byte()?)).copied();
            let (previous, zone) = (reader.u32()?, Zone::from_name(reader.text()?));
            match (unit, zone) {
                (Some(unit), Some(zone)) if previous <= MAX_PERIODS => {
                    Window::Calendar(Periods { zone, unit, previous })
                }
                _ => return Err(reader.damaged("an unknown period of a calendar")),
            }
        }
        5 => Window::Between {
            from: reader.time()?,
            to: reader.time()?,
        },
        _ => return Err(reader.damaged("an unknown window")),
    })
}
