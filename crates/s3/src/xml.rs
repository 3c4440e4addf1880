//! The little of XML that the protocol's answers need: the texts of elements by their path, in order.
//!
//! Entities are resolved, others than XML's own refused; depth is bounded. It never builds a tree.

use crate::error::{S3Error, S3ErrorKind};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

const DEPTH_MAX: usize = 16;

/// What a walk over a document meets.
pub(crate) enum Met<'a> {
    /// An element begins; the path to it, itself last.
    Begin(&'a [String]),
    /// An element ends; the path to it, and its own text.
    End(&'a [String], &'a str),
}

/// Walks over a document.
pub(crate) fn walk(document: &[u8], mut visit: impl FnMut(Met<'_>)) -> Result<(), S3Error> {
    let wrong = |why: &str| {
        S3Error::new(
            S3ErrorKind::Malformed,
            format!("an answer of the store does not read: {why}"),
        )
    };
    let document = std::str::from_utf8(document).map_err(|_| wrong("it is not UTF-8"))?;
    let mut reader = Reader::from_str(document);
    let (mut path, mut text): (Vec<String>, String) = (Vec::new(), String::new());
    loop {
        match reader
            .read_event()
            .map_err(|error| wrong("it is not XML").because(error))?
        {
            Event::Start(start) => {
                path.push(start.local_name().as_ref().to_owned());
                if path.len() > DEPTH_MAX {
                    return Err(wrong("it is too deep"));
                }
                text.clear();
                visit(Met::Begin(&path));
            }
            Event::Empty(empty) => {
                path.push(empty.local_name().as_ref().to_owned());
                visit(Met::Begin(&path));
                visit(Met::End(&path, ""));
                path.pop();
            }
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::CData(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(reference) => {
                let character = reference.resolve_char_ref();
                match character.map_err(|error| wrong("it refers to no character").because(error))? {
                    Some(character) => text.push(character),
                    None => {
                        let known = resolve_predefined_entity(&reference);
                        text.push_str(known.ok_or_else(|| wrong("it has an entity of its own"))?);
                    }
                }
            }
            Event::End(_) => {
                visit(Met::End(&path, text.trim()));
                text.clear();
                path.pop();
            }
            Event::Eof => break,
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
    if path.is_empty() {
        Ok(())
    } else {
        Err(wrong("it ends too early"))
    }
}

/// The text of the first element of a name, wherever it stands.
pub(crate) fn first(document: &[u8], name: &str) -> Result<Option<String>, S3Error> {
    let mut found = None;
    walk(document, |met| {
        if let Met::End(path, text) = met
            && found.is_none()
            && path.last().is_some_and(|last| last == name)
        {
            found = Some(text.to_owned());
        }
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_1_answers_are_read_and_broken_ones_refused() {
        let document =
            b"<?xml version=\"1.0\"?><E xmlns=\"x\"><A/><Code>a&amp;b&#x41;<![CDATA[<]]></Code><Code>later</Code></E>";
        assert_eq!(first(document, "Code").unwrap().as_deref(), Some("a&bA<"));
        assert_eq!(first(document, "A").unwrap().as_deref(), Some(""));
        assert_eq!(first(document, "B").unwrap(), None);
        let deep = "<a>".repeat(40);
        for broken in ["<a><b></a>", "<a>&own;</a>", "<a>", "\u{0}<", &deep] {
            assert!(first(broken.as_bytes(), "a").is_err(), "{broken}");
        }
    }
}
