//! Passing over a stored entry that nobody asks for. What is passed over is measured and no more.

use super::{Entry, SEQUENCE};
use crate::PartError;
use crate::codec::{MARK_NUMBERS, Reader};
use kith_expr::Function;

impl Entry {
    /// Passes over a stored entry of the newest form; answers its slot and the bytes after it.
    pub(crate) fn pass<'a>(reader: &mut Reader<'a>) -> Result<(u32, &'a [u8]), PartError> {
        let slot = reader.u32()?;
        let from = reader.at();
        let code = reader.byte()?;
        pass_window(reader)?;
        if code == SEQUENCE {
            pass_steps(reader)?;
        } else {
            let function = Function::ALL.get(usize::from(code)).copied();
            let function = function.ok_or_else(|| reader.damaged("an unknown function"))?;
            pass_counted(function, reader)?;
        }
        Ok((slot, reader.since(from)))
    }
}

fn pass_window(reader: &mut Reader<'_>) -> Result<(), PartError> {
    match reader.byte()? {
        0 => Ok(()),
        1 | 2 => reader.pass_numbers(1),
        3 | 5 => reader.pass_numbers(2),
        4 => {
            reader.byte()?;
            reader.pass_numbers(1)?;
            reader.pass_text().map(drop)
        }
        _ => Err(reader.damaged("an unknown window")),
    }
}

fn pass_counted(function: Function, reader: &mut Reader<'_>) -> Result<(), PartError> {
    // The latest that was left out.
    pass_number_if_any(reader)?;
    match function {
        Function::Count => reader.pass_numbers(1)?,
        Function::Sum | Function::Average => {
            for _ in 0..reader.len(6)? {
                reader.pass_currency()?;
                reader.pass_numbers(1)?;
                match reader.flag()? {
                    false => reader.pass_numbers(1)?,
                    true => reader.take(32).map(drop)?,
                }
            }
        }
        Function::Min | Function::Max => pass_number_if_any(reader)?,
        Function::First | Function::Last => {
            if reader.flag()? {
                reader.pass_numbers(MARK_NUMBERS)?;
                reader.pass_value()?;
            }
        }
        Function::MostFrequent | Function::UniqueList | Function::UniqueCount | Function::Accounts => {
            reader.flag()?;
            for _ in 0..reader.len(7)? {
                reader.pass_value()?;
                reader.pass_numbers(1 + MARK_NUMBERS)?;
            }
        }
    }
    pass_points(function, reader)
}

fn pass_points(function: Function, reader: &mut Reader<'_>) -> Result<(), PartError> {
    let length = reader.len(1)?;
    match function {
        Function::Count if length == 0 => Ok(()),
        Function::Count => reader.pass_numbers(length),
        Function::Sum | Function::Average | Function::Min | Function::Max => {
            for _ in 0..length {
                reader.pass_numbers(1)?;
                reader.pass_currency()?;
                reader.pass_numbers(1)?;
            }
            Ok(())
        }
        Function::First
        | Function::Last
        | Function::MostFrequent
        | Function::UniqueList
        | Function::UniqueCount
        | Function::Accounts => {
            for _ in 0..length {
                reader.pass_numbers(MARK_NUMBERS)?;
                reader.pass_value()?;
            }
            Ok(())
        }
    }
}

fn pass_steps(reader: &mut Reader<'_>) -> Result<(), PartError> {
    match reader.flag()? {
        true => {
            reader.pass_numbers(1)?;
            pass_number_if_any(reader)?;
        }
        false => reader.pass_numbers(1)?,
    }
    // What a limit left out, and what was refused.
    pass_number_if_any(reader)?;
    pass_number_if_any(reader)?;
    for _ in 0..reader.len(3)? {
        reader.pass_value()?;
        for _ in 0..reader.len(2)? {
            // How long after the one before, and the part that it plays.
            reader.pass_numbers(1)?;
            reader.byte()?;
        }
    }
    Ok(())
}

fn pass_number_if_any(reader: &mut Reader<'_>) -> Result<(), PartError> {
    match reader.flag()? {
        true => reader.pass_numbers(1),
        false => Ok(()),
    }
}

impl Reader<'_> {
    /// Three letters, or three zeros.
    fn pass_currency(&mut self) -> Result<(), PartError> {
        self.take(3).map(drop)
    }
}
