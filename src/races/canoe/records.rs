//! From bytes to records: the XML of an export is walked once, and nothing in it is trusted.
//! Invariants: a document type, and with it every entity of one's own, is refused; nesting, lengths and numbers of
//! records are bounded; an element we know stands once in its record; what we do not know is passed over unread.

use super::short;
use crate::error::Refusal;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

/// The root of an export.
const ROOT: &str = "Canoe123Data";
/// Where a fault lies that concerns the file as a whole.
const FILE: &str = "xml";
/// Most bytes of a file.
const FILE_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Most elements within each other; an export has four.
const DEPTH_MAX: usize = 32;
/// Longest text we keep, in characters.
const TEXT_CHARS_MAX: usize = 300;
/// How far into a file its XML declaration may reach, in bytes.
const DECLARATION_BYTES_MAX: usize = 1_000;

/// What a record tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The competition.
    Event,
    /// A class of boats.
    Class,
    /// A category by age, within a class.
    Category,
    /// Who is timed.
    Participant,
    /// A race.
    Race,
    /// A participant in a race.
    Result,
    /// The gates of a course.
    Course,
}

/// An element of a record that we keep.
struct Field {
    name: &'static str,
    too_long: &'static str,
}

macro_rules! fields {
    ($($name:literal),* $(,)?) => {
        &[$(Field { name: $name, too_long: concat!("characters in ", $name) }),*]
    };
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Event, Self::Class, Self::Category, Self::Participant, Self::Race, Self::Result, Self::Course];

    /// The element around a record.
    fn element(self) -> &'static str {
        match self {
            Self::Event => "Events",
            Self::Class => "Classes",
            Self::Category => "Categories",
            Self::Participant => "Participants",
            Self::Race => "Schedule",
            Self::Result => "Results",
            Self::Course => "CourseData",
        }
    }

    /// The kind of record that `element` begins below the root, or below a record.
    fn of(element: &str, below: Option<Self>) -> Option<Self> {
        let kind = Self::ALL.into_iter().find(|kind| kind.element() == element)?;
        let home = if kind == Self::Category { Some(Self::Class) } else { None };
        (home == below).then_some(kind)
    }

    /// How many there may be: of categories in a class, of all others in the file.
    fn bound(self) -> (&'static str, usize) {
        match self {
            Self::Event => ("events", 100),
            Self::Class => ("classes", 1_000),
            Self::Category => ("categories in a class", 200),
            Self::Participant => ("participants", 20_000),
            Self::Race => ("races", 2_000),
            Self::Result => ("results", 100_000),
            Self::Course => ("courses", 1_000),
        }
    }

    fn fields(self) -> &'static [Field] {
        match self {
            Self::Event => fields![
                "EventId",
                "MainTitle",
                "SubTitle",
                "Location",
                "Country",
                "Facility",
                "StartDate",
                "EndDate",
                "CanoeDiscipline",
            ],
            Self::Class => fields!["ClassId", "Class", "LongTitle"],
            Self::Category => fields!["CatId", "Category", "FirstYear", "LastYear"],
            Self::Participant => fields![
                "Id",
                "ClassId",
                "EventBib",
                "ICFId",
                "FamilyName",
                "GivenName",
                "FamilyName2",
                "GivenName2",
                "NOC",
                "Club",
                "CatId",
                "IsTeam",
                "Member1",
                "Member2",
                "Member3",
            ],
            Self::Race => fields![
                "RaceId",
                "RaceOrder",
                "StartTime",
                "ClassId",
                "DisId",
                "StartInterval",
                "CourseNr",
                "RaceStatus",
            ],
            Self::Result => fields![
                "RaceId",
                "Id",
                "StartOrder",
                "Bib",
                "StartTime",
                "Status",
                "Time",
                "Gates",
                "Pen",
                "Total",
                "TotalTotal",
                "HeatNr",
                "BetterRunNr",
            ],
            Self::Course => fields!["CourseNr", "CourseConfig"],
        }
    }

    fn field(self, element: &str) -> Option<&'static Field> {
        self.fields().iter().find(|field| field.name == element)
    }
}

/// One record: the texts of its elements as they stand, and the categories of a class.
#[derive(Debug)]
pub(super) struct Record {
    pub kind: Kind,
    pub categories: Vec<Record>,
    at: String,
    values: Vec<(&'static str, String)>,
}

impl Record {
    /// Something is wrong in an element of this record.
    pub fn wrong(&self, field: &str, message: impl std::fmt::Display) -> Refusal {
        Refusal::invalid(format!("{}.{field}", self.at), message)
    }

    /// The text of an element as it stands, blanks and all.
    pub fn raw(&self, field: &str) -> Option<&str> {
        self.values.iter().find(|(name, _)| *name == field).map(|(_, value)| value.as_str())
    }

    /// The text of an element, trimmed; an empty one is none.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.raw(field).map(str::trim).filter(|value| !value.is_empty())
    }
}

/// Walks the records of an export in the order of the file.
///
/// # Errors
/// `INVALID_DATA` for what is not an export, `TOO_LARGE` for more than the bounds, and whatever `each` refuses.
pub(super) fn walk(bytes: &[u8], each: &mut dyn FnMut(&Record) -> Result<(), Refusal>) -> Result<(), Refusal> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Refusal::TooLarge { what: "bytes in the file", max: FILE_BYTES_MAX });
    }
    let text = decode(bytes)?;
    let mut walk = Walk::default();
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    loop {
        let before = reader.buffer_position();
        let event = reader.read_event().map_err(|wrong| broken(text, reader.error_position(), wrong))?;
        let here = |message: String| broken(text, before, message);
        match event {
            Event::Start(start) => walk.start(start.local_name().into_inner())?,
            Event::End(_) => {
                if let Some(record) = walk.end()? {
                    each(&record)?;
                }
            }
            Event::Text(piece) => walk.text(&piece.xml10_content()).map_err(here)?,
            Event::CData(piece) => walk.text(&piece.xml10_content()).map_err(here)?,
            Event::GeneralRef(name) => {
                let piece = resolve(&name).map_err(here)?;
                walk.text(piece.encode_utf8(&mut [0; 4])).map_err(here)?;
            }
            Event::DocType(_) => {
                return Err(here("a document type; an export has none, and it is not read".to_owned()));
            }
            Event::Decl(_) if walk.begun => {
                return Err(here("an XML declaration in the middle of the file".to_owned()));
            }
            Event::Decl(_) | Event::Comment(_) | Event::PI(_) => {}
            Event::Empty(_) => return Err(here("an empty element".to_owned())), // never: they come as Start and End
            Event::Eof => return walk.finish(),
        }
    }
}

/// Something is wrong at a byte of the file.
fn broken(text: &str, byte: u64, message: impl std::fmt::Display) -> Refusal {
    let before = usize::try_from(byte).unwrap_or(text.len()).min(text.len());
    let line = lines(&text.as_bytes()[..before]);
    Refusal::invalid(FILE, format!("line {line}: {}", short(&message.to_string(), 200)))
}

/// The line that some bytes end in.
fn lines(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count()
}

/// `&amp;` and its like, and `&#65;`; there are no others.
fn resolve(reference: &BytesRef<'_>) -> Result<char, String> {
    let unknown = || format!("&{};: an export has no such entity", short(reference, 40));
    match reference.resolve_char_ref() {
        Ok(Some(character)) => Ok(character),
        Ok(None) => resolve_predefined_entity(reference).and_then(|text| text.chars().next()).ok_or_else(unknown),
        Err(_) => Err(unknown()),
    }
}

/// The first bytes of a file that is not UTF-8: of its mark, or of its first `<`.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\xFF\xFE\0\0", "UTF-32"),
    (b"\0\0\xFE\xFF", "UTF-32"),
    (b"<\0\0\0", "UTF-32"),
    (b"\0\0\0<", "UTF-32"),
    (b"\xFF\xFE", "UTF-16"),
    (b"\xFE\xFF", "UTF-16"),
    (b"<\0", "UTF-16"),
    (b"\0<", "UTF-16"),
];

/// The text of a file, which is XML in UTF-8 by all it says of itself.
fn decode(bytes: &[u8]) -> Result<&str, Refusal> {
    let foreign = |encoding: &str| Refusal::invalid(FILE, format!("the file is {encoding}; only UTF-8 is read"));
    if let Some((_, encoding)) = FOREIGN.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        return Err(foreign(encoding));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).trim_ascii();
    if let Some(encoding) = declared(bytes)?
        && !["utf-8", "utf8", "us-ascii", "ascii"].contains(&encoding.to_ascii_lowercase().as_str())
    {
        return Err(foreign(&format!("declared as {:?}", short(&encoding, 40))));
    }
    let text = std::str::from_utf8(bytes).map_err(|wrong| {
        let line = lines(&bytes[..wrong.valid_up_to()]);
        Refusal::invalid(FILE, format!("line {line}: not UTF-8, and only UTF-8 is read"))
    })?;
    match text.chars().next() {
        Some('<') => Ok(text),
        Some(_) => Err(Refusal::invalid(FILE, format!("not XML: it begins with {:?}", short(text, 20)))),
        None => Err(Refusal::invalid(FILE, "the file is empty")),
    }
}

/// The encoding that the XML declaration names, read before anything else is.
fn declared(bytes: &[u8]) -> Result<Option<String>, Refusal> {
    if !bytes.starts_with(b"<?xml") {
        return Ok(None);
    }
    let head = &bytes[..bytes.len().min(DECLARATION_BYTES_MAX)];
    let unreadable = || Refusal::invalid(FILE, "line 1: the XML declaration cannot be read");
    let end = head.windows(2).position(|pair| pair == b"?>").ok_or_else(unreadable)? + 2;
    let head = std::str::from_utf8(&head[..end]).map_err(|_| unreadable())?;
    match Reader::from_str(head).read_event() {
        Ok(Event::Decl(declaration)) => {
            let encoding = declaration.encoding().transpose().map_err(|_| unreadable())?;
            Ok(encoding.map(|encoding| encoding.trim().to_owned()))
        }
        Ok(_) => Ok(None), // an instruction such as <?xml-stylesheet?>
        Err(_) => Err(unreadable()),
    }
}

/// Where in the file we are: what each open element is to us.
#[derive(Clone, Copy)]
enum Level {
    Root,
    Record,
    Field(&'static Field),
    Unknown,
}

#[derive(Default)]
struct Walk {
    begun: bool,
    levels: Vec<Level>,
    /// The open records: one, or a class and its category.
    open: Vec<Record>,
    /// The text of the open field so far.
    value: String,
    counts: [usize; Kind::ALL.len()],
}

impl Walk {
    fn start(&mut self, element: &str) -> Result<(), Refusal> {
        if self.levels.len() == DEPTH_MAX {
            return Err(Refusal::invalid(self.place(), format!("more than {DEPTH_MAX} elements within each other")));
        }
        let level = match self.levels.last() {
            None => self.root(element)?,
            Some(Level::Root) => match Kind::of(element, None) {
                Some(kind) => self.begin(kind)?,
                None => Level::Unknown,
            },
            Some(Level::Record) => self.within(element)?,
            Some(Level::Field(_)) => {
                return Err(Refusal::invalid(self.place(), format!("<{}> where a text belongs", short(element, 40))));
            }
            Some(Level::Unknown) => Level::Unknown,
        };
        self.levels.push(level);
        Ok(())
    }

    fn root(&mut self, element: &str) -> Result<Level, Refusal> {
        if self.begun {
            return Err(Refusal::invalid(FILE, format!("<{}> after the end of {ROOT}", short(element, 40))));
        }
        if element != ROOT {
            let message = format!("the file begins with <{}>; an export begins with <{ROOT}>", short(element, 40));
            return Err(Refusal::invalid(FILE, message));
        }
        self.begun = true;
        Ok(Level::Root)
    }

    fn within(&mut self, element: &str) -> Result<Level, Refusal> {
        let Some(record) = self.open.last() else { return Ok(Level::Unknown) };
        if let Some(kind) = Kind::of(element, Some(record.kind)) {
            return self.begin(kind);
        }
        let Some(field) = record.kind.field(element) else { return Ok(Level::Unknown) };
        if record.raw(field.name).is_some() {
            return Err(record.wrong(field.name, "is there twice"));
        }
        Ok(Level::Field(field))
    }

    fn begin(&mut self, kind: Kind) -> Result<Level, Refusal> {
        let around = self.open.last();
        let index = around.map_or(self.counts[kind as usize], |class| class.categories.len());
        let (what, max) = kind.bound();
        if index == max {
            return Err(Refusal::TooLarge { what, max });
        }
        let at =
            format!("{}{}[{index}]", around.map_or(String::new(), |class| format!("{}.", class.at)), kind.element());
        self.counts[kind as usize] += 1;
        self.open.push(Record { kind, categories: Vec::new(), at, values: Vec::new() });
        Ok(Level::Record)
    }

    fn text(&mut self, piece: &str) -> Result<(), String> {
        match self.levels.last() {
            Some(Level::Field(_)) => self.value.push_str(piece),
            Some(Level::Root | Level::Record | Level::Unknown) => {}
            None if piece.trim().is_empty() => {}
            None => return Err(format!("{:?} outside of {ROOT}", short(piece.trim(), 40))),
        }
        Ok(())
    }

    /// Ends an element; a record that is whole, unless it belongs to another.
    fn end(&mut self) -> Result<Option<Record>, Refusal> {
        match self.levels.pop() {
            Some(Level::Field(field)) => self.keep(field).map(|()| None),
            Some(Level::Record) => {
                let record = self.open.pop();
                if let Some(class) = self.open.last_mut() {
                    class.categories.extend(record);
                    return Ok(None);
                }
                Ok(record)
            }
            Some(Level::Root | Level::Unknown) | None => Ok(None),
        }
    }

    fn keep(&mut self, field: &'static Field) -> Result<(), Refusal> {
        let value = std::mem::take(&mut self.value);
        let Some(record) = self.open.last_mut() else { return Ok(()) };
        if value.trim().chars().count() > TEXT_CHARS_MAX {
            return Err(Refusal::TooLarge { what: field.too_long, max: TEXT_CHARS_MAX });
        }
        if value.chars().any(|character| character.is_control() && !character.is_whitespace()) {
            return Err(record.wrong(field.name, "a control character"));
        }
        record.values.push((field.name, value));
        Ok(())
    }

    /// The innermost place that has a name.
    fn place(&self) -> String {
        let at = self.open.last().map_or(ROOT, |record| &record.at);
        match self.levels.last() {
            Some(Level::Field(field)) => format!("{at}.{}", field.name),
            Some(Level::Root | Level::Record | Level::Unknown) | None => at.to_owned(),
        }
    }

    fn finish(&self) -> Result<(), Refusal> {
        if !self.begun {
            return Err(Refusal::invalid(FILE, format!("not an export: there is no <{ROOT}> in it")));
        }
        if self.levels.is_empty() {
            return Ok(());
        }
        Err(Refusal::invalid(FILE, format!("the file is cut off: it ends within {}", self.place())))
    }
}
