//! What Kotlin and Swift see, read from the metadata in the built library: names, types, errors and docs.
//! A change of it shows as a change of the snapshot, and has to keep the rules of DESIGN 7.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use object::{Object, ObjectSection, ObjectSymbol};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use uniffi_meta::{
    EnumMetadata, FieldMetadata, FnParamMetadata, Metadata, ObjectImpl, RecordMetadata, Type,
    UniffiTraitMetadata, read_metadata,
};

/// Everything that the library says of itself: UniFFI writes each item behind a symbol of its own.
fn metadata() -> Vec<Metadata> {
    let test = std::env::current_exe().unwrap();
    let file = format!("{}portal{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let bytes = std::fs::read(test.parent().unwrap().join(file)).unwrap();
    let library = object::File::parse(&*bytes).unwrap();
    let mut found: Vec<Metadata> = library
        .symbols()
        .filter(|symbol| symbol.name().unwrap().trim_start_matches('_').starts_with("UNIFFI_META_"))
        .map(|symbol| {
            let section = library.section_by_index(symbol.section_index().unwrap()).unwrap();
            let at = usize::try_from(symbol.address() - section.address()).unwrap();
            read_metadata(&section.data().unwrap()[at..]).unwrap()
        })
        .collect();
    // Each crate that links the same code carries it once.
    found.sort();
    found.dedup();
    found
}

/// A function, constructor or method, whichever it is.
struct Call {
    of: Option<String>,
    foreign: bool,
    name: String,
    is_async: bool,
    inputs: Vec<FnParamMetadata>,
    returns: Option<Type>,
    throws: Option<Type>,
    docs: Option<String>,
}

fn call(item: &Metadata) -> Option<Call> {
    // Four structs of the same shape, which have no trait in common.
    macro_rules! call {
        ($meta:expr, $of:expr, $foreign:expr, $returns:expr) => {
            Some(Call {
                of: $of,
                foreign: $foreign,
                name: $meta.name.clone(),
                is_async: $meta.is_async,
                inputs: $meta.inputs.clone(),
                returns: $returns,
                throws: $meta.throws.clone(),
                docs: $meta.docstring.clone(),
            })
        };
    }
    match item {
        Metadata::Func(f) => call!(f, None, false, f.return_type.clone()),
        Metadata::Constructor(c) => call!(c, Some(c.self_name.clone()), false, None),
        Metadata::Method(m) => call!(m, Some(m.self_name.clone()), false, m.return_type.clone()),
        Metadata::TraitMethod(m) => call!(m, Some(m.trait_name.clone()), true, m.return_type.clone()),
        _ => None,
    }
}

fn calls() -> Vec<Call> {
    metadata().iter().filter_map(call).collect()
}

fn records() -> Vec<RecordMetadata> {
    let only = |item| if let Metadata::Record(record) = item { Some(record) } else { None };
    metadata().into_iter().filter_map(only).collect()
}

fn enums() -> Vec<EnumMetadata> {
    let only = |item| if let Metadata::Enum(found) = item { Some(found) } else { None };
    metadata().into_iter().filter_map(only).collect()
}

/// Objects of ours, or traits that a shell implements.
fn objects(ours: bool) -> Vec<String> {
    let only = |item| match item {
        Metadata::Object(object) if (object.imp == ObjectImpl::Struct) == ours => Some(object.name),
        _ => None,
    };
    metadata().into_iter().filter_map(only).collect()
}

fn words(ty: &Type) -> String {
    match ty {
        Type::Optional { inner_type } => format!("{}?", words(inner_type)),
        Type::Sequence { inner_type } => format!("[{}]", words(inner_type)),
        Type::Record { name, .. } | Type::Enum { name, .. } | Type::Object { name, .. } => name.clone(),
        other => format!("{other:?}"),
    }
}

fn documented(out: &mut String, indent: &str, docs: Option<&String>) {
    for line in docs.map(String::as_str).unwrap_or("(no docs)").lines() {
        writeln!(out, "{indent}/// {}", line.trim()).unwrap();
    }
}

fn fields(out: &mut String, indent: &str, fields: &[FieldMetadata]) {
    for field in fields {
        documented(out, indent, field.docstring.as_ref());
        let default = field.default.as_ref().map(|default| format!(" = {default:?}")).unwrap_or_default();
        writeln!(out, "{indent}{}: {}{default}", field.name, words(&field.ty)).unwrap();
    }
}

#[test]
fn the_surface_is_what_the_snapshot_says() {
    let mut items: Vec<String> = Vec::new();
    for item in metadata() {
        let mut out = String::new();
        match &item {
            Metadata::Record(record) => {
                documented(&mut out, "", record.docstring.as_ref());
                writeln!(out, "record {}", record.name).unwrap();
                fields(&mut out, "    ", &record.fields);
            }
            Metadata::Enum(found) => {
                documented(&mut out, "", found.docstring.as_ref());
                writeln!(out, "{} {}", if found.shape.is_error() { "error" } else { "enum" }, found.name)
                    .unwrap();
                for variant in &found.variants {
                    documented(&mut out, "    ", variant.docstring.as_ref());
                    writeln!(out, "    {}", variant.name).unwrap();
                    fields(&mut out, "        ", &variant.fields);
                }
            }
            Metadata::Object(object) => {
                documented(&mut out, "", object.docstring.as_ref());
                let kind = if object.imp == ObjectImpl::Struct { "object" } else { "trait" };
                writeln!(out, "{kind} {}", object.name).unwrap();
            }
            Metadata::UniffiTrait(UniffiTraitMetadata::Debug { fmt }) => {
                writeln!(out, "{} prints as Rust's Debug does", fmt.self_name).unwrap();
            }
            Metadata::UniffiTrait(UniffiTraitMetadata::Display { fmt }) => {
                writeln!(out, "{} prints as Rust's Display does", fmt.self_name).unwrap();
            }
            Metadata::Namespace(space) => writeln!(out, "namespace {}", space.name).unwrap(),
            other => {
                let call = call(other).unwrap_or_else(|| panic!("{other:?}"));
                documented(&mut out, "", call.docs.as_ref());
                let of = call.of.map(|of| format!("{of}.")).unwrap_or_default();
                let inputs: Vec<String> =
                    call.inputs.iter().map(|input| format!("{}: {}", input.name, words(&input.ty))).collect();
                let returns = call.returns.map(|ty| format!(" -> {}", words(&ty))).unwrap_or_default();
                let throws = call.throws.map(|ty| format!(" throws {}", words(&ty))).unwrap_or_default();
                let how = if call.is_async { "async " } else { "" };
                writeln!(out, "{how}{of}{}({}){returns}{throws}", call.name, inputs.join(", ")).unwrap();
            }
        }
        items.push(out);
    }
    insta::assert_snapshot!(items.join("\n"));
}

#[test]
fn it_stays_small() {
    assert!(objects(true).len() <= 12, "{:?}", objects(true));
    assert!(objects(false).len() <= 4, "{:?}", objects(false));
    let spaces: Vec<Metadata> =
        metadata().into_iter().filter(|item| matches!(item, Metadata::Namespace(_))).collect();
    assert_eq!(spaces.len(), 1, "{spaces:?}");
}

#[test]
fn everything_is_documented() {
    let mut bare = Vec::new();
    let mut look = |name: String, docs: &Option<String>| {
        if docs.as_ref().is_none_or(|docs| docs.trim().is_empty()) {
            bare.push(name);
        }
    };
    for call in calls() {
        look(format!("{}.{}", call.of.unwrap_or_default(), call.name), &call.docs);
    }
    for record in records() {
        look(record.name.clone(), &record.docstring);
        record.fields.iter().for_each(|f| look(format!("{}.{}", record.name, f.name), &f.docstring));
    }
    for found in enums() {
        look(found.name.clone(), &found.docstring);
        for variant in &found.variants {
            let name = format!("{}.{}", found.name, variant.name);
            look(name.clone(), &variant.docstring);
            variant.fields.iter().for_each(|f| look(format!("{name}.{}", f.name), &f.docstring));
        }
    }
    assert!(bare.is_empty(), "{bare:?}");
}

#[test]
fn verbs_have_one_error_and_what_can_fail_says_how() {
    for call in calls() {
        let name = format!("{}.{}", call.of.clone().unwrap_or_default(), call.name);
        let docs = call.docs.unwrap_or_default();
        match (call.throws.as_ref().map(words), call.foreign) {
            (Some(error), false) => {
                assert_eq!(error, "PortalError", "{name}");
                // Reads all fail alike, which the first one says.
                let read = call.of.as_deref() == Some("Messages") || call.of.as_deref() == Some("Outbox");
                assert!(docs.contains("# Errors") || read, "{name} does not say how it fails");
            }
            (None, true) => panic!("{name} cannot fail: an exception in it would be a panic"),
            (error, true) => {
                assert_ne!(error.as_deref(), Some("PortalError"), "{name}");
                assert!(!call.is_async, "{name}: async ones do not compile in Swift's language mode 6");
            }
            // Only what is in memory answers without a way to fail.
            (None, false) => assert!(!call.is_async || name == "Changes.next", "{name}"),
        }
    }
    for error in enums().iter().filter(|found| found.shape.is_error()) {
        assert!(error.variants.iter().all(|variant| !variant.fields.is_empty()), "{}", error.name);
    }
}

#[test]
fn no_name_is_taken_in_kotlin_or_swift() {
    let taken = ["close", "destroy", "clone", "to_string", "finalize", "hash_code", "description", "init"];
    for call in calls() {
        assert!(!taken.contains(&call.name.as_str()), "{:?}.{}", call.of, call.name);
    }
    let mut types: Vec<String> = [objects(true), objects(false)].concat();
    types.extend(records().into_iter().map(|record| record.name));
    types.extend(enums().into_iter().map(|found| found.name));
    for name in types {
        assert!(!["Error", "Exception", "Result", "Data", "Task", "Flow"].contains(&name.as_str()), "{name}");
    }
}

/// Kotlin and Swift print every field of a record unless Rust does it for them.
#[test]
fn records_with_text_of_a_person_do_not_print_it() {
    let print: BTreeSet<String> = metadata()
        .into_iter()
        .filter_map(|item| match item {
            Metadata::UniffiTrait(UniffiTraitMetadata::Debug { fmt }) => Some(fmt.self_name),
            _ => None,
        })
        .collect();
    // Settings, ids, codes and numbers.
    let impersonal =
        ["PortalConfig", "PinSet", "SessionView", "SyncReport", "Availability", "Started", "LogLine"];
    for record in records() {
        let harmless = impersonal.contains(&record.name.as_str());
        assert!(print.contains(&record.name) != harmless, "{}", record.name);
    }
}
