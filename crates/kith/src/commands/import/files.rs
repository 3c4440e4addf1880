//! The files of an import, in the order of their paths, and the format that each name tells.

use super::csv_rows;
use super::json_rows::JsonRows;
use super::mapping::{CsvForm, Separator};
use super::parquet_rows::ParquetRows;
use super::row::Rows;
use crate::error::CommandError;
use crate::output::Hint;
use clap::ValueEnum;
use flate2::read::MultiGzDecoder;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most files of an import, and how deep folders may nest.
const FILES_MAX: usize = 100_000;
const FOLDER_DEPTH_MAX: usize = 16;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text in columns.
    Csv,
    /// A JSON object a line.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// A file to import.
#[derive(Clone, Debug)]
pub(crate) struct ImportFile {
    path: PathBuf,
    format: Format,
    gzip: bool,
    tabs: bool,
}

/// The file, or every file of the folder whose name tells its format.
///
/// # Errors
/// A path that cannot be read, a name that tells no format, or a folder without a file whose name does.
pub(crate) fn find(path: &Path, format: Option<Format>) -> Result<Vec<ImportFile>, CommandError> {
    let metadata = fs::metadata(path)
        .map_err(|error| CommandError::caused(format!("{} cannot be read", path.display()), error))?;
    let mut found = Vec::new();
    let nothing = if metadata.is_dir() {
        collect(path, format, FOLDER_DEPTH_MAX, &mut found)?;
        found.sort_by(|one: &ImportFile, other| one.path.cmp(&other.path));
        "holds no file to import"
    } else {
        found.extend(recognise(path, format));
        "tells no format"
    };
    if found.is_empty() {
        let hint = Hint::new(
            "files end in .csv, .tsv, .txt, .jsonl, .ndjson, .json or .parquet, text ones also in .gz; or say --format",
        );
        return Err(CommandError::caused(format!("{} {nothing}", path.display()), hint));
    }
    Ok(found)
}

fn collect(
    folder: &Path,
    format: Option<Format>,
    depth: usize,
    found: &mut Vec<ImportFile>,
) -> Result<(), CommandError> {
    let unreadable = |error| CommandError::caused(format!("{} cannot be read", folder.display()), error);
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path
            .file_name()
            .is_none_or(|name| name.to_string_lossy().starts_with(['.', '_']));
        if hidden {
            continue;
        }
        if path.is_dir() {
            if depth == 0 {
                return Err(CommandError::new(format!(
                    "{} nests deeper than {FOLDER_DEPTH_MAX} folders",
                    path.display()
                )));
            }
            collect(&path, format, depth - 1, found)?;
        } else {
            found.extend(recognise(&path, format));
        }
        if found.len() > FILES_MAX {
            return Err(CommandError::new(format!(
                "{} holds more than {FILES_MAX} files",
                folder.display()
            )));
        }
    }
    Ok(())
}

fn recognise(path: &Path, format: Option<Format>) -> Option<ImportFile> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let (name, gzip) = name
        .strip_suffix(".gz")
        .map_or((name.as_str(), false), |inner| (inner, true));
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    let known = match ending {
        "csv" | "tsv" | "txt" => Some(Format::Csv),
        "jsonl" | "ndjson" | "json" => Some(Format::Jsonl),
        "parquet" if !gzip => Some(Format::Parquet),
        _ => None,
    };
    let format = format.or(known)?;
    Some(ImportFile {
        path: path.to_owned(),
        format,
        gzip,
        tabs: ending == "tsv",
    })
}

impl ImportFile {
    /// Opens its rows.
    ///
    /// # Errors
    /// It cannot be read, or is not of its format.
    pub(crate) fn open(&self, form: CsvForm) -> Result<Box<dyn Rows>, CommandError> {
        let name: Arc<str> = self.path.display().to_string().into();
        let file =
            File::open(&self.path).map_err(|error| CommandError::caused(format!("{name} cannot be opened"), error))?;
        if self.format == Format::Parquet {
            return Ok(Box::new(ParquetRows::open(name, file)?));
        }
        let input: Box<dyn Read> = if self.gzip {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        if self.format == Format::Jsonl {
            return Ok(Box::new(JsonRows::new(name, input)));
        }
        let comma = form.separator == Separator::Character(b',');
        let separator = if self.tabs && comma {
            Separator::Character(b'\t')
        } else {
            form.separator
        };
        csv_rows::open(name, input, CsvForm { separator, ..form })
    }
}
