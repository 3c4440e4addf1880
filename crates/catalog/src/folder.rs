//! Documents from a file or a folder of files, as `kith plan -f` and `kith apply -f` take them.

use crate::yaml::{STREAM_BYTES_MAX, parse_yaml};
use crate::{Document, DocumentId, Problem};
use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The most files that a folder may hold, and how deep it may nest.
const FILES_MAX: usize = 1_000;
const FOLDER_DEPTH_MAX: usize = 8;

/// Reads every `.yaml`, `.yml` and `.json` file of a folder and its folders in the order of their paths, or one file of
/// any name.
///
/// # Errors
/// Every [`Problem`] found, each with file, document number and path; a document that stands twice is one.
pub fn read_documents(path: &Path) -> Result<Vec<Document>, Vec<Problem>> {
    let mut files = Vec::new();
    if path.is_dir() {
        collect_files(path, FOLDER_DEPTH_MAX, &mut files).map_err(|problem| vec![problem])?;
        files.sort();
        if files.is_empty() {
            return Err(vec![problem(
                path,
                "the folder holds no .yaml, .yml or .json file".to_owned(),
            )]);
        }
    } else {
        files.push(path.to_owned());
    }
    let (mut documents, mut problems) = (Vec::new(), Vec::new());
    let mut places: HashMap<DocumentId, String> = HashMap::new();
    for file in files {
        let origin = file.display().to_string();
        match read_text(&file)
            .map_err(|problem| vec![problem])
            .and_then(|text| parse_yaml(&origin, &text))
        {
            Ok(read) => documents.extend(read.into_iter().map(|document| (origin.clone(), document))),
            Err(found) => problems.extend(found),
        }
    }
    for (origin, document) in &documents {
        if let Some(first) = places.insert(document.id(), origin.clone()) {
            let message = format!("stands in {first} and in {origin}: keep one");
            problems.push(Problem {
                document: document.id().to_string(),
                path: String::new(),
                message,
            });
        }
    }
    if problems.is_empty() {
        Ok(documents.into_iter().map(|(_, document)| document).collect())
    } else {
        Err(problems)
    }
}

/// Where each document of such a file or folder stands, such as `vip.yaml:12`, by its id; what cannot be read is left out.
#[must_use]
pub fn document_places(path: &Path) -> HashMap<String, String> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        files.clear();
        // What could be collected until then is enough.
        let _unreadable = collect_files(path, FOLDER_DEPTH_MAX, &mut files);
    }
    let mut places = HashMap::new();
    for file in files {
        let origin = file.display().to_string();
        for (line, part) in read_text(&file).map(|text| parts(&text)).unwrap_or_default() {
            for document in parse_yaml(&origin, &part).unwrap_or_default() {
                places.insert(document.id().to_string(), format!("{origin}:{line}"));
            }
        }
    }
    places
}

/// The documents of a stream, each with the number of its first line that says something.
fn parts(text: &str) -> Vec<(usize, String)> {
    let (mut parts, mut part, mut first) = (Vec::new(), String::new(), None);
    for (line, number) in text.lines().zip(1..) {
        if line == "---" || line.starts_with("--- ") {
            parts.extend(first.take().map(|first| (first, std::mem::take(&mut part))));
            part.clear();
        } else if first.is_none() && !line.trim().is_empty() && !line.starts_with('#') {
            first = Some(number);
        }
        part.push_str(line);
        part.push('\n');
    }
    parts.extend(first.map(|first| (first, part)));
    parts
}

fn collect_files(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    let entries = fs::read_dir(folder).map_err(|error| problem(folder, format!("cannot be read: {error}")))?;
    for entry in entries {
        let path = entry
            .map_err(|error| problem(folder, format!("cannot be read: {error}")))?
            .path();
        let known = path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known));
        if path.is_dir() {
            if depth == 0 {
                return Err(problem(
                    &path,
                    format!("folders nest deeper than {FOLDER_DEPTH_MAX} levels"),
                ));
            }
            collect_files(&path, depth - 1, files)?;
        } else if known {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            return Err(problem(folder, format!("holds more than {FILES_MAX} files")));
        }
    }
    Ok(())
}

fn read_text(file: &Path) -> Result<String, Problem> {
    let unreadable = |error: std::io::Error| problem(file, format!("cannot be read: {error}"));
    let mut text = String::new();
    // One byte over the limit is enough for the parser to refuse the file by its size.
    fs::File::open(file)
        .map_err(unreadable)?
        .take(STREAM_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

fn problem(path: &Path, message: String) -> Problem {
    Problem {
        document: path.display().to_string(),
        path: String::new(),
        message,
    }
}
