//! Tables of files as they come and as they should not, and properties of all of them. The real form of a gate line,
//! of blanks in numbers and of what an export holds besides was seen in one published by `OpenCanoeTiming`; none of its
//! rows is here.

use super::*;
use crate::error::{Code, FieldError};
use proptest::prelude::*;

/// A file with these records.
fn file(records: &str) -> String {
    let head = r#"<?xml version="1.0" standalone="yes"?>"#;
    format!("{head}\n<Canoe123Data xmlns=\"http://siwidata.com/Canoe123/Data.xsd\">\n{records}\n</Canoe123Data>\n")
}

fn good(records: &str) -> Export {
    read(file(records).as_bytes()).expect("a good file is read")
}

/// The place and the message of a refused file.
fn fault(bytes: &[u8]) -> FieldError {
    match read(bytes) {
        Err(Refusal::Invalid(faults)) if faults.len() == 1 => faults[0].clone(),
        other => panic!("expected one fault, got {other:?}"),
    }
}

/// A result of participant `n` in a race, with its numbers; an empty one is left out.
fn row(race: &str, n: usize, [time, pen, total]: [&str; 3]) -> String {
    let element =
        |name: &str, text: &str| if text.is_empty() { String::new() } else { format!("<{name}>{text}</{name}>") };
    let numbers = element("Time", time) + &element("Pen", pen) + &element("Total", total);
    format!("<Results><RaceId>{race}</RaceId><Id>{n}</Id>{numbers}</Results>")
}

/// Times, penalties and totals of a file with these rows, in milliseconds.
fn settled(rows: &[(&str, [&str; 3])]) -> Vec<[Option<i64>; 3]> {
    let records: String = rows.iter().enumerate().map(|(n, (race, numbers))| row(race, n, *numbers)).collect();
    good(&records).results.iter().map(|result| [result.time_ms, result.pen_ms, result.total_ms]).collect()
}

const ALL: &str = r"
  <Participants>
    <Id>101.102.C2M_ST</Id><ClassId>C2M_ST</ClassId><EventBib> 301</EventBib><ICFId />
    <FamilyName>NOVÁK</FamilyName><GivenName>Jan</GivenName>
    <FamilyName2>NOVÁK</FamilyName2><GivenName2>Petr</GivenName2>
    <NOC>CZE</NOC><Club>TJ Voda &amp; syn</Club><Ranking>   1</Ranking><CatId>VM</CatId><IsTeam>false</IsTeam><_Bib />
  </Participants>
  <Results>
    <RaceId>C2M_ST_BR2_6</RaceId><Id>101.102.C2M_ST</Id><StartOrder>1</StartOrder><Bib> 301</Bib>
    <StartTime>11:42:00</StartTime><PrevTime>131200</PrevTime><PrevPen>4</PrevPen><PrevTotal>135200</PrevTotal>
    <Status /><dtStart>11:42:01.500</dtStart><Time>118400</Time>
    <Gates>  0  0  2    50                                                                             </Gates>
    <Pen>52</Pen><Total>170400</Total><TotalTotal>170400</TotalTotal><BetterRunNr>2</BetterRunNr><HeatNr>0</HeatNr>
  </Results>
  <Events>
    <EventId>TEST.2026050100</EventId><MainTitle> Czech
    Cup </MainTitle><Location>Praha</Location><StartDate>2026-05-01T08:00:00+02:00</StartDate>
    <CanoeDiscipline>Slalom</CanoeDiscipline><TimeMode>Points100</TimeMode><Logo>iVBORw0KGgo=</Logo>
  </Events>
  <Schedule>
    <RaceId>C2M_ST_BR2_6</RaceId><RaceOrder>105</RaceOrder><StartTime /><ClassId>C2M_ST</ClassId><DisId>BR2</DisId>
    <StartInterval>45</StartInterval><CourseNr>1</CourseNr><RaceStatus>11</RaceStatus>
  </Schedule>
  <Classes>
    <ClassId>C2M_ST</ClassId><Class>C2m</Class><LongTitle>C2 muži</LongTitle>
    <Categories><CatId>VM</CatId><Category>Veteráni</Category><FirstYear>1900</FirstYear><LastYear>1989</LastYear></Categories>
    <Categories><CatId>DS</CatId><Category>Dorost</Category><FirstYear /></Categories>
  </Classes>
  <CourseData><CourseNr>1</CourseNr><CourseConfig>NNRNSNNR</CourseConfig></CourseData>
  <GateStatistics><ClassId>C2M_ST</ClassId><G1_Touched>0</G1_Touched></GateStatistics>";

fn race_id_of(text: &str) -> RaceId {
    text.parse().expect("an id")
}

#[test]
fn an_export_comes_out_whole() {
    let expected = Export {
        event: Some(EventPart {
            event_id: Some("TEST.2026050100".to_owned()),
            main_title: "Czech     Cup".to_owned(),
            sub_title: None,
            location: Some("Praha".to_owned()),
            country: None,
            facility: None,
            start_date: Some("2026-05-01T08:00:00+02:00".to_owned()),
            end_date: None,
            discipline: Some("Slalom".to_owned()),
        }),
        classes: vec![ClassPart {
            id: "C2M_ST".to_owned(),
            name: "C2m".to_owned(),
            long_title: Some("C2 muži".to_owned()),
            categories: vec![
                CategoryPart {
                    id: "VM".to_owned(),
                    name: "Veteráni".to_owned(),
                    first_year: Some(1900),
                    last_year: Some(1989),
                },
                CategoryPart { id: "DS".to_owned(), name: "Dorost".to_owned(), first_year: None, last_year: None },
            ],
        }],
        participants: vec![ParticipantPart {
            id: "101.102.C2M_ST".to_owned(),
            class_id: "C2M_ST".to_owned(),
            bib: Some(301),
            family_name: "NOVÁK".to_owned(),
            given_name: Some("Jan".to_owned()),
            partner: Some("NOVÁK Petr".to_owned()),
            noc: Some("CZE".to_owned()),
            club: Some("TJ Voda & syn".to_owned()),
            category_id: Some("VM".to_owned()),
            is_team: false,
            members: Vec::new(),
            icf_id: None,
        }],
        races: vec![RacePart {
            id: race_id_of("C2M_ST_BR2_6"),
            order: Some(105),
            start_time: None,
            class_id: Some("C2M_ST".to_owned()),
            dis_id: Some("BR2".to_owned()),
            kind: RaceKind::BestRun2,
            status: Some(11),
            start_interval: Some("45".to_owned()),
            course_nr: Some(1),
        }],
        results: vec![ResultPart {
            race_id: race_id_of("C2M_ST_BR2_6"),
            participant_id: "101.102.C2M_ST".to_owned(),
            start_order: Some(1),
            bib: Some(301),
            start_time: Some("11:42:00".to_owned()),
            status: None,
            time_ms: Some(118_400),
            pen_ms: Some(52_000),
            total_ms: Some(170_400),
            gates: Some(vec![Some(0), Some(0), Some(2), None, Some(50)]),
            heat: None,
            better_run: Some(2),
            total_total_ms: Some(170_400),
        }],
        courses: vec![CoursePart { nr: 1, config: "NNRNSNNR".to_owned() }],
    };
    assert_eq!(good(ALL), expected);
}

#[test]
fn the_same_export_however_it_is_wrapped() {
    let plain = format!("<Canoe123Data>{ALL}</Canoe123Data>");
    let expected = read(plain.as_bytes()).expect("without prolog and namespace");
    assert_eq!(expected.results.len(), 1);
    let prefixed = ALL.replace("</", "\u{1}").replace('<', "<c:").replace('\u{1}', "</c:");
    for wrapped in [
        file(ALL),
        file(&ALL.replace('\n', "\r\n")).replace("Czech\r\n", "Czech\n"),
        format!("\u{feff}{}", file(ALL)),
        format!("\n  {plain}\n"),
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><!-- a note --><?xml-stylesheet href='a'?>{plain}<!-- end -->"
        ),
        format!("<?xml version='1.0' encoding='us-ascii'?>{plain}"),
        format!("<c:Canoe123Data xmlns:c=\"http://siwidata.com/Canoe123/Data.xsd\">{prefixed}</c:Canoe123Data>"),
        plain.replace("<Pen>", "<Pen x=\"1\" xml:space=\"preserve\">"),
        plain.replace("<Club>TJ Voda &amp; syn", "<Club><![CDATA[TJ Voda & ]]><!-- and -->&#115;y&#x6e;"),
    ] {
        assert_eq!(read(wrapped.as_bytes()).expect("read as well"), expected, "{wrapped}");
    }
}

#[test]
fn there_may_be_none_one_or_many_in_any_order() {
    assert_eq!(good(""), Export::default());
    assert_eq!(read(b"<Canoe123Data/>").expect("an empty export"), Export::default());
    let class = |id: &str| format!("<Classes><ClassId>{id}</ClassId><Class>{id}</Class></Classes>");
    let race = |id: &str| format!("<Schedule><RaceId>{id}</RaceId></Schedule>");
    let event = |title: &str| format!("<Events><MainTitle>{title}</MainTitle></Events>");
    let mixed = [class("A"), race("r1"), event("one"), class("B"), row("r1", 7, [""; 3]), race("r2"), event("two")];
    let export = good(&mixed.concat());
    assert_eq!(export.classes.iter().map(|class| class.id.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!(export.races.iter().map(|race| race.id.as_str()).collect::<Vec<_>>(), ["r1", "r2"]);
    assert_eq!(export.event.expect("the first").main_title, "one");
    assert_eq!(export.results.len(), 1);
}

#[test]
fn a_record_counts_only_where_it_belongs() {
    let result = row("r", 1, [""; 3]);
    let category = "<Categories><CatId>a</CatId><CatId>b</CatId></Categories>";
    let elsewhere =
        format!("{category}<Table>{result}</Table><Schedule>{result}{category}<RaceId>r</RaceId></Schedule>");
    let export = good(&elsewhere);
    assert_eq!((export.results.len(), export.classes.len(), export.races.len()), (0, 0, 1));
}

#[test]
fn a_result_of_nobody_in_no_race_is_not_our_concern() {
    let export = good(&row("nowhere", 1, ["9127", "", "9127"]));
    assert_eq!((export.races.len(), export.participants.len(), export.results.len()), (0, 0, 1));
}

/// Times of a row in milliseconds, all there.
fn ms(time: i64, pen: i64, total: i64) -> [Option<i64>; 3] {
    [Some(time), Some(pen), Some(total)]
}

/// Rows of a file, by race, and what they are in milliseconds.
type UnitCase<'a> = (&'a str, &'a [(&'a str, [&'a str; 3])], &'a [[Option<i64>; 3]]);

#[test]
fn the_unit_of_a_race_is_told_by_its_sums_then_by_the_file_then_by_size() {
    let cases: &[UnitCase<'_>] = &[
        (
            "hundredths by the sum",
            &[("a", ["9127", "200", "9327"]), ("a", ["8900", "0", "8900"])],
            &[ms(91_270, 2_000, 93_270), ms(89_000, 0, 89_000)],
        ),
        (
            "thousandths by the sum",
            &[("a", ["118400", "12", "130400"]), ("a", ["89000", "0", "89000"])],
            &[ms(118_400, 12_000, 130_400), ms(89_000, 0, 89_000)],
        ),
        ("hundredths by size", &[("a", ["9127", "", "9127"])], &[[Some(91_270), None, Some(91_270)]]),
        ("thousandths by size", &[("a", ["91270", "0", "91270"])], &[ms(91_270, 0, 91_270)]),
        ("the longest run in hundredths", &[("a", ["20000", "0", "20000"])], &[ms(200_000, 0, 200_000)]),
        ("the shortest run in thousandths", &[("a", ["60000", "0", "60000"])], &[ms(60_000, 0, 60_000)]),
        ("slow in thousandths", &[("a", ["212000", "0", "212000"])], &[ms(212_000, 0, 212_000)]),
        ("neither by size", &[("a", ["30000", "0", "30000"])], &[ms(300_000, 0, 300_000)]),
        ("a total alone has a size", &[("a", ["", "", "91270"])], &[[None, None, Some(91_270)]]),
        ("the time before the total", &[("a", ["19000", "", "61000"])], &[[Some(190_000), None, Some(610_000)]]),
        ("nothing at all", &[("a", ["", "50", ""])], &[[None, Some(500), None]]),
        (
            "each race by itself",
            &[("a", ["9127", "200", "9327"]), ("b", ["91270", "2", "93270"]), ("a", ["8900", "", "8900"])],
            &[ms(91_270, 2_000, 93_270), ms(91_270, 2_000, 93_270), [Some(89_000), None, Some(89_000)]],
        ),
        (
            // An order of finish, as cross heats have it, and a sprint: no slalom by size.
            "the file before the size",
            &[("a", ["91270", "2", "93270"]), ("x4", ["1000", "0", "1000"]), ("s", ["45000", "0", "45000"])],
            &[ms(91_270, 2_000, 93_270), ms(1_000, 0, 1_000), ms(45_000, 0, 45_000)],
        ),
        (
            // Ten minutes down the river.
            "the file before the size, in hundredths",
            &[("a", ["9127", "200", "9327"]), ("w", ["61000", "0", "61000"])],
            &[ms(91_270, 2_000, 93_270), ms(610_000, 0, 610_000)],
        ),
        (
            "the size before a file that disagrees",
            &[
                ("a", ["9127", "200", "9327"]),
                ("a", ["9227", "200", "9427"]),
                ("b", ["91270", "2", "93270"]),
                ("c", ["91270", "0", "91270"]),
                ("d", ["9127", "0", "9127"]),
                ("e", ["30000", "0", "30000"]),
            ],
            &[
                ms(91_270, 2_000, 93_270),
                ms(92_270, 2_000, 94_270),
                ms(91_270, 2_000, 93_270),
                ms(91_270, 0, 91_270),
                ms(91_270, 0, 91_270),
                ms(300_000, 0, 300_000),
            ],
        ),
        (
            "a time of zero has no size",
            &[("a", ["0", "0", "0"]), ("a", ["91270", "0", "91270"])],
            &[ms(0, 0, 0), ms(91_270, 0, 91_270)],
        ),
        (
            "the longest run in hundredths beside thousandths",
            &[("a", ["20000", "0", "20000"]), ("b", ["91270", "0", "91270"]), ("c", ["91270", "0", "91270"])],
            &[ms(200_000, 0, 200_000), ms(91_270, 0, 91_270), ms(91_270, 0, 91_270)],
        ),
        (
            "more of its own sums before the file",
            &[
                ("a", ["30000", "2", "32000"]),
                ("a", ["30000", "4", "34000"]),
                ("a", ["30000", "200", "30200"]),
                ("b", ["9127", "200", "9327"]),
                ("b", ["9227", "200", "9427"]),
            ],
            &[
                ms(30_000, 2_000, 32_000),
                ms(30_000, 4_000, 34_000),
                ms(30_000, 200, 30_200),
                ms(91_270, 2_000, 93_270),
                ms(92_270, 2_000, 94_270),
            ],
        ),
        (
            "more sums of the file before its sizes",
            &[
                ("a", ["30000", "2", "32000"]),
                ("a", ["30000", "4", "34000"]),
                ("b", ["9127", "200", "9327"]),
                ("c", ["40000", "0", "40000"]),
            ],
            &[ms(30_000, 2_000, 32_000), ms(30_000, 4_000, 34_000), ms(91_270, 2_000, 93_270), ms(40_000, 0, 40_000)],
        ),
        (
            "the size of the file, where a race has none",
            &[("a", ["91270", "0", "91270"]), ("b", ["45000", "0", "45000"])],
            &[ms(91_270, 0, 91_270), ms(45_000, 0, 45_000)],
        ),
        (
            // 2 s were taken back by hand; the total stands.
            "a row without a sum keeps its total",
            &[("a", ["91270", "2", "93270"]), ("a", ["90000", "50", "92000"]), ("a", ["88000", "4", ""])],
            &[ms(91_270, 2_000, 93_270), ms(90_000, 50_000, 92_000), [Some(88_000), Some(4_000), None]],
        ),
        (
            "a penalty in thousandths beside thousandths",
            &[("a", ["91270", "2", "93270"]), ("a", ["92270", "2", "94270"]), ("a", ["70000", "20000", "90000"])],
            &[ms(91_270, 2_000, 93_270), ms(92_270, 2_000, 94_270), ms(70_000, 20_000, 90_000)],
        ),
        (
            "a penalty in hundredths beside thousandths",
            &[("a", ["91270", "2", "93270"]), ("a", ["90000", "200", "92000"])],
            &[ms(91_270, 2_000, 93_270), ms(90_000, 2_000, 92_000)],
        ),
        (
            "a penalty in seconds beside hundredths",
            &[("a", ["9127", "2", "9327"]), ("a", ["9000", "50", "14000"])],
            &[ms(91_270, 2_000, 93_270), ms(90_000, 50_000, 140_000)],
        ),
        (
            "seconds with a point",
            &[("a", ["91.27", "2", "93.27"]), ("a", ["", "160", ""]), ("b", ["9127", "", "9127"])],
            &[ms(91_270, 2_000, 93_270), [None, Some(160_000), None], [Some(91_270), None, Some(91_270)]],
        ),
        ("the decimals of a second", &[("a", ["0.1", "2.00", "100.0290"])], &[ms(100, 2_000, 100_029)]),
        (
            "the largest numbers there are",
            &[("a", ["1000000000", "1000000000", "1000000000"])],
            &[ms(1_000_000_000, 1_000_000_000_000, 1_000_000_000)],
        ),
    ];
    for (name, rows, expected) in cases {
        assert_eq!(settled(rows), *expected, "{name}");
    }
}

#[test]
fn a_second_run_that_waits_for_its_start_knows_the_unit_of_the_first() {
    let second = "<Results><RaceId>K_BR2_6</RaceId><Id>1</Id><TotalTotal>45000</TotalTotal></Results>";
    let export = good(&format!("{}{second}", row("K_BR1_6", 1, ["43000", "2", "45000"])));
    assert_eq!(export.results[1].total_total_ms, Some(45_000));
    assert_eq!(good(&second.replace("45000", "91270")).results[0].total_total_ms, Some(91_270), "by size, if alone");
}

#[test]
fn a_run_without_a_rank_says_why() {
    for (status, expected) in [
        ("DNS", Some(Irm::Dns)),
        ("DNF", Some(Irm::Dnf)),
        ("dsq", Some(Irm::Dsq)),
        (" CAP ", Some(Irm::Cap)),
        ("", None),
        ("  ", None),
    ] {
        let export = good(&format!("<Results><RaceId>r</RaceId><Id>1</Id><Status>{status}</Status></Results>"));
        assert_eq!(export.results[0].status, expected, "{status}");
    }
    assert_eq!(Irm::ALL.map(Irm::as_str), ["DNS", "DNF", "DSQ", "CAP"]);
}

#[test]
fn gates_are_read_by_their_columns_or_by_their_blanks() {
    let cases: [(&str, Option<&[Option<i64>]>); 16] = [
        ("  0  2 50  0                  ", Some(&[Some(0), Some(2), Some(50), Some(0)])),
        ("  0        2", Some(&[Some(0), None, None, Some(2)])),
        ("              2                 ", Some(&[None, None, None, None, Some(2)])),
        ("  0100 50", Some(&[Some(0), Some(100), Some(50)])),
        ("0  0     2", Some(&[Some(0), Some(0), None, Some(2)])),
        ("0 2 50", Some(&[Some(0), Some(2), Some(50)])),
        ("0 2 50 0", Some(&[Some(0), Some(2), Some(50), Some(0)])),
        ("50 50", Some(&[Some(50), Some(50)])),
        ("2 50 50 0 0", Some(&[Some(2), Some(50), Some(50), Some(0), Some(0)])),
        ("\n      0 2\n    ", Some(&[Some(0), Some(2)])),
        ("\n      0  2\n    ", Some(&[Some(0), Some(2)])),
        ("2", Some(&[Some(2)])),
        ("50", Some(&[Some(50)])),
        (" 2", Some(&[Some(2)])),
        ("", None),
        ("                              ", None),
    ];
    for (line, expected) in cases {
        let export = good(&format!("<Results><RaceId>r</RaceId><Id>1</Id><Gates>{line}</Gates></Results>"));
        assert_eq!(export.results[0].gates.as_deref(), expected, "{line:?}");
    }
}

#[test]
fn the_type_of_a_race_comes_from_its_code_or_from_its_id() {
    for (dis_id, race, expected) in [
        (Some("BR1"), "x", "best-run-1"),
        (Some("BR2"), "x", "best-run-2"),
        (Some("Q"), "x", "qualification"),
        (Some("QUA"), "x", "qualification"),
        (Some("SF"), "x", "semifinal"),
        (Some("SEM"), "x", "semifinal"),
        (Some("F"), "x", "final"),
        (Some("FIN"), "x", "final"),
        (Some("SR"), "x", "seeding"),
        (Some("TSR"), "x", "training"),
        (Some("XT"), "x", "cross-trial"),
        (Some("X4"), "x", "cross-heat"),
        (Some("XS"), "x", "cross-semifinal"),
        (Some("XF"), "x", "cross-final"),
        (Some("br1"), "x", "best-run-1"),
        (None, "K1M_ST_BR1_6", "best-run-1"),
        (None, "K1M_ST_BR2", "best-run-2"),
        (Some("XER"), "K1M_ST_XF_6", "cross-final"),
        (Some("BR2"), "K1M_ST_BR1_6", "best-run-2"),
        (None, "K1M_BR1_F", "best-run-1"),
        (None, "BR1_ST_6", "unknown"),
        (None, "race-7", "unknown"),
        (Some("XER"), "K1M-ZS_XER_25", "unknown"),
    ] {
        let code = dis_id.map_or(String::new(), |code| format!("<DisId>{code}</DisId>"));
        let export = good(&format!("<Schedule><RaceId>{race}</RaceId>{code}</Schedule>"));
        assert_eq!(export.races[0].kind.as_str(), expected, "{dis_id:?} {race}");
        assert_eq!(export.races[0].dis_id.as_deref(), dis_id);
    }
}

#[test]
fn a_race_without_a_state_has_none() {
    for (status, expected) in [("0", None), ("1", Some(1)), ("12", Some(12)), ("", None)] {
        let export = good(&format!("<Schedule><RaceId>r</RaceId><RaceStatus>{status}</RaceStatus></Schedule>"));
        assert_eq!(export.races[0].status, expected, "{status}");
    }
}

#[test]
fn everybody_has_a_name() {
    for (fields, expected) in [
        ("<FamilyName>NOVÁK</FamilyName><GivenName>Jan</GivenName>", "NOVÁK Jan"),
        ("<FamilyName>NOVÁK</FamilyName><GivenName />", "NOVÁK"),
        (
            "<FamilyName>A</FamilyName><GivenName>B</GivenName><FamilyName2>C</FamilyName2><GivenName2>D</GivenName2>",
            "A B / C D",
        ),
        ("<FamilyName>A</FamilyName><FamilyName2>C</FamilyName2>", "A / C"),
        ("<IsTeam>true</IsTeam><FamilyName>USK A</FamilyName><Member1>1.K1M</Member1>", "USK A"),
        ("<IsTeam>1</IsTeam><Member1>1.K1M</Member1><Member2 /><Member3>3.K1M</Member3>", "1.K1M, 3.K1M"),
    ] {
        let export = good(&format!("<Participants><Id>1</Id><ClassId>K</ClassId>{fields}</Participants>"));
        assert_eq!(export.participants[0].name(), expected, "{fields}");
    }
}

#[test]
fn a_fault_names_its_place() {
    let result = "<Results><RaceId>r</RaceId><Id>1</Id>";
    let somebody = "<Participants><Id>1</Id><ClassId>K</ClassId><FamilyName>A</FamilyName></Participants>";
    let numbers = |element: &str, text: &str| format!("{result}<{element}>{text}</{element}></Results>");
    let cases = [
        (format!("{}{}", row("r", 9, [""; 3]), numbers("Time", "fast")), "Results[1].Time", "\"fast\" is neither a whole"),
        (numbers("Time", "-5"), "Results[0].Time", "is neither"),
        (numbers("Time", "91,27"), "Results[0].Time", "is neither"),
        (numbers("Time", "91."), "Results[0].Time", "is neither"),
        (numbers("Time", ".5"), "Results[0].Time", "is neither"),
        (numbers("Time", "91.2.7"), "Results[0].Time", "is neither"),
        (numbers("Time", "9 1"), "Results[0].Time", "is neither"),
        (numbers("Time", "1000000001"), "Results[0].Time", "from 0 to 1000000000"),
        (numbers("Time", "99999999999999999999999"), "Results[0].Time", "is neither"),
        (numbers("Time", "1e3"), "Results[0].Time", "is neither"),
        (numbers("Total", "91.2734"), "Results[0].Total", "is neither"),
        (numbers("TotalTotal", "x"), "Results[0].TotalTotal", "is neither"),
        (numbers("Pen", "two"), "Results[0].Pen", "is neither"),
        (numbers("Bib", "A7"), "Results[0].Bib", "\"A7\" is not a whole number"),
        (numbers("Bib", "+7"), "Results[0].Bib", "is not a whole number"),
        (numbers("StartOrder", "1.0"), "Results[0].StartOrder", "is not a whole number"),
        (numbers("HeatNr", "x"), "Results[0].HeatNr", "is not a whole number"),
        (numbers("BetterRunNr", "x"), "Results[0].BetterRunNr", "is not a whole number"),
        (numbers("Gates", "0 T"), "Results[0].Gates", "is not a list"),
        (numbers("Gates", "0 -2"), "Results[0].Gates", "is not a list"),
        (numbers("Gates", "0 1000"), "Results[0].Gates", "is not a list"),
        (numbers("Gates", "000200050"), "Results[0].Gates", "is not a list"),
        (numbers("Status", "OK"), "Results[0].Status", "\"OK\" is none of DNS"),
        (numbers("Status", "D&#7;NS"), "Results[0].Status", "a control character"),
        (numbers("Bib", "<b>7</b>"), "Results[0].Bib", "<b> where a text belongs"),
        (numbers("Bib", "7</Bib><Bib>8"), "Results[0].Bib", "is there twice"),
        ("<Results><Id>1</Id></Results>".to_owned(), "Results[0].RaceId", "is missing"),
        ("<Results><RaceId>r</RaceId><Id> </Id></Results>".to_owned(), "Results[0].Id", "is missing"),
        (row("a:b", 1, [""; 3]), "Results[0].RaceId", "\"a:b\" is not an id"),
        (row("r", 1, [""; 3]).replace("<Id>1<", "<Id>a b<"), "Results[0].Id", "\"a b\" is not an id"),
        (row(&"r".repeat(129), 1, [""; 3]), "Results[0].RaceId", "is not an id"),
        ("<Schedule><RaceId>-r</RaceId></Schedule>".to_owned(), "Schedule[0].RaceId", "is not an id"),
        ("<Schedule><ClassId>K</ClassId></Schedule>".to_owned(), "Schedule[0].RaceId", "is missing"),
        (
            "<Schedule><RaceId>r</RaceId><ClassId>K/1</ClassId></Schedule>".to_owned(),
            "Schedule[0].ClassId",
            "is not an id",
        ),
        (
            "<Schedule><RaceId>r</RaceId><RaceStatus>13</RaceStatus></Schedule>".to_owned(),
            "Schedule[0].RaceStatus",
            "from 1 to 12",
        ),
        (somebody.replace("<Id>1", "<Id>ä"), "Participants[0].Id", "is not an id"),
        (somebody.replace("<ClassId>K", "<ClassId>"), "Participants[0].ClassId", "is missing"),
        (somebody.replace(">A<", "><"), "Participants[0].FamilyName", "is missing"),
        (somebody.replace(">A<", "> <").replace("<Fam", "<IsTeam>true</IsTeam><Fam"), "Participants[0].FamilyName", "missing"),
        (somebody.replace(">A<", "><").replace("<Fam", "<Member1>1</Member1><Fam"), "Participants[0].FamilyName", "missing"),
        (somebody.replace("<Fam", "<IsTeam>yes</IsTeam><Fam"), "Participants[0].IsTeam", "\"yes\" is neither true nor"),
        (somebody.replace("<Fam", "<CatId>V+</CatId><Fam"), "Participants[0].CatId", "is not an id"),
        ("<Events><EventId>1</EventId></Events>".to_owned(), "Events[0].MainTitle", "is missing"),
        ("<Classes><ClassId>K</ClassId></Classes>".to_owned(), "Classes[0].Class", "is missing"),
        (
            "<Classes><ClassId>K</ClassId><Class>K</Class><Categories><CatId>a</CatId><Category>A</Category></Categories>\
             <Categories><CatId>b</CatId><Category>B</Category><FirstYear>old</FirstYear></Categories></Classes>"
                .to_owned(),
            "Classes[0].Categories[1].FirstYear",
            "is not a whole number",
        ),
        ("<CourseData><CourseConfig>N</CourseConfig></CourseData>".to_owned(), "CourseData[0].CourseNr", "is missing"),
        (
            "<CourseData><CourseNr>1</CourseNr><CourseConfig>NXR</CourseConfig></CourseData>".to_owned(),
            "CourseData[0].CourseConfig",
            "N, R and S",
        ),
    ];
    for (records, place, message) in cases {
        let fault = fault(file(&records).as_bytes());
        assert_eq!(fault.field, place, "{records}: {}", fault.message);
        assert!(fault.message.contains(message), "{records}: {}", fault.message);
    }
}

#[test]
fn a_message_stays_short_whatever_it_repeats() {
    let name = "x".repeat(10_000);
    for records in [
        format!("<Results><RaceId>r</RaceId><Id>1</Id><Bib>{}</Bib></Results>", "7".repeat(300)),
        format!("<Results><RaceId>r</RaceId><Bib><{name}/></Bib></Results>"),
        format!("<{name}></y{name}>"),
        format!("&{name};"),
    ] {
        let fault = fault(file(&records).as_bytes());
        assert!(fault.message.chars().count() < 300 && fault.message.contains('…'), "{}", fault.message);
    }
}

#[test]
fn what_is_there_twice_is_refused_where_it_comes_again() {
    let race = "<Schedule><RaceId>r</RaceId></Schedule>";
    let other = "<Schedule><RaceId>r2</RaceId></Schedule>";
    let class = "<Classes><ClassId>K</ClassId><Class>K</Class></Classes>";
    let category = "<Categories><CatId>a</CatId><Category>A</Category></Categories>";
    let course = "<CourseData><CourseNr>1</CourseNr></CourseData>";
    let somebody = |class: &str| {
        format!("<Participants><Id>1</Id><ClassId>{class}</ClassId><FamilyName>A</FamilyName></Participants>")
    };
    for (records, place) in [
        (format!("{race}{other}{race}"), "Schedule[2].RaceId"),
        (format!("{class}{class}"), "Classes[1].ClassId"),
        (class.replace("</Classes>", &format!("{category}{category}</Classes>")), "Classes[0].Categories[1].CatId"),
        (format!("{course}{course}"), "CourseData[1].CourseNr"),
        (format!("{}{}", somebody("K"), somebody("K")), "Participants[1].Id"),
        (row("r", 1, [""; 3]) + &row("r2", 1, [""; 3]) + &row("r", 1, [""; 3]), "Results[2].Id"),
    ] {
        let fault = fault(file(&records).as_bytes());
        assert_eq!(fault.field, place);
        assert!(fault.message.contains("is there twice"), "{}", fault.message);
    }
    good(&(somebody("K") + &somebody("C")));
    good(&(row("r", 1, [""; 3]) + &row("r", 2, [""; 3]) + &row("r2", 1, [""; 3])));
    good(
        &(class.replace("</Classes>", &format!("{category}</Classes>"))
            + &class.replace('K', "C").replace("</Classes>", &format!("{category}</Classes>"))),
    );
}

#[test]
fn what_is_no_export_is_told_as_such() {
    let utf16 = |swap: bool| -> Vec<u8> {
        let bytes = |unit: u16| if swap { unit.to_be_bytes() } else { unit.to_le_bytes() };
        format!("\u{feff}{}", file("")).encode_utf16().flat_map(bytes).collect()
    };
    let latin1 = |head: &str| [head.as_bytes(), b"<Canoe123Data>\n<X>K1\xE9</X></Canoe123Data>"].concat();
    let bomb = "<!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 \"&lol;&lol;&lol;&lol;&lol;&lol;&lol;\">]>";
    let external = "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>";
    let plain = "<Canoe123Data></Canoe123Data>";
    let deep = format!("{}{}", "<a>".repeat(40), "</a>".repeat(40));
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (utf16(false), "the file is UTF-16; only UTF-8"),
        (utf16(true), "the file is UTF-16"),
        (utf16(false)[2..].to_vec(), "the file is UTF-16"),
        (utf16(true)[2..].to_vec(), "the file is UTF-16"),
        (b"\xFF\xFE\0\0<\0\0\0".to_vec(), "the file is UTF-32"),
        (b"\0\0\xFE\xFF\0\0\0<".to_vec(), "the file is UTF-32"),
        (b"<\0\0\0C\0\0\0".to_vec(), "the file is UTF-32"),
        (b"\0\0\0<\0\0\0C".to_vec(), "the file is UTF-32"),
        (latin1("<?xml version='1.0' encoding=\"ISO-8859-1\"?>"), "declared as \"ISO-8859-1\"; only UTF-8"),
        (latin1("<?xml version='1.0' encoding='windows-1250'?>"), "declared as \"windows-1250\""),
        (latin1("\n"), "line 2: not UTF-8"),
        (format!("<?xml version='1.0' encoding='utf-16'?>{plain}").into_bytes(), "declared as \"utf-16\""),
        (format!("<?xml version='1.0' encoding=latin1?>{plain}").into_bytes(), "declaration cannot be read"),
        (format!("<?xml version='1.0'{}?>{plain}", " ".repeat(2_000)).into_bytes(), "declaration cannot be read"),
        (b"<?xml version='1.0'".to_vec(), "declaration cannot be read"),
        (format!("{plain}<?xml version='1.0'?>").into_bytes(), "an XML declaration in the middle"),
        (format!("{bomb}<Canoe123Data><X>&lol2;</X></Canoe123Data>").into_bytes(), "line 1: a document type"),
        (format!("{external}<Canoe123Data><X>&x;</X></Canoe123Data>").into_bytes(), "a document type"),
        (
            format!("<!DOCTYPE Canoe123Data SYSTEM \"http://example.com/a.dtd\">\n{plain}").into_bytes(),
            "a document type",
        ),
        (
            file("<Events>\n<MainTitle>&lol;</MainTitle></Events>").into_bytes(),
            "line 4: &lol;: an export has no such entity",
        ),
        (file("<X>&#0;</X>").into_bytes(), "&#0;: an export has no such entity"),
        (file("<X>&#x110000;</X>").into_bytes(), "no such entity"),
        (file("<X>a & b</X>").into_bytes(), "line 3: "),
        (file(&deep).into_bytes(), "more than 32 elements within each other"),
        (Vec::new(), "the file is empty"),
        (b" \n ".to_vec(), "the file is empty"),
        (b"\xEF\xBB\xBF".to_vec(), "the file is empty"),
        (b"{\"xml\": \"<Canoe123Data/>\"}".to_vec(), "not XML: it begins with \"{\\\"xml\\\""),
        (b"PK\x03\x04".to_vec(), "not XML"),
        (b"<!-- nothing -->".to_vec(), "there is no <Canoe123Data>"),
        (b"<Canoe123 System=\"Main\"><Schedule/></Canoe123>".to_vec(), "begins with <Canoe123>; an export begins with"),
        (format!("{plain}{plain}").into_bytes(), "<Canoe123Data> after the end"),
        (format!("{plain} more").into_bytes(), "\"more\" outside of Canoe123Data"),
        (b"<Canoe123Data><Results></Canoe123Data>".to_vec(), "expected `</Results>`"),
        (b"<Canoe123Data></Canoe123Data></Canoe123Data>".to_vec(), "does not match any open tag"),
        (b"<Canoe123Data><Results><RaceId>r</RaceId><Id>1".to_vec(), "cut off: it ends within Results[0].Id"),
        (b"<Canoe123Data><Results><RaceId>r</RaceId>".to_vec(), "cut off: it ends within Results[0]"),
        (b"<Canoe123Data><Results><RaceId>r</Race".to_vec(), "line 1: "),
    ];
    for (bytes, message) in cases {
        let fault = fault(&bytes);
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        assert!(fault.message.contains(message), "{shown}: {}", fault.message);
        assert!(matches!(fault.field.as_str(), "xml" | "Canoe123Data"), "{shown}: {}", fault.field);
    }
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let whole = file(ALL);
    let end = whole.trim_end().len();
    for cut in 0..end {
        assert!(read(&whole.as_bytes()[..cut]).is_err(), "cut off at {cut}");
    }
    read(&whole.as_bytes()[..end]).expect("the whole file is good");
}

/// What is bounded, how many there may be, and so many of them.
type BoundCase<'a> = (&'a str, usize, &'a dyn Fn(usize) -> String);

#[test]
fn there_is_an_end_to_everything() {
    let of = |count: usize, record: &dyn Fn(usize) -> String| (0..count).map(record).collect::<String>();
    let class = |inner: &str| format!("<Classes><ClassId>K</ClassId><Class>K</Class>{inner}</Classes>");
    let category = |n: usize| format!("<Categories><CatId>{n}</CatId><Category>A</Category></Categories>");
    let gates = |count: usize| {
        let gates = "0 ".repeat(count);
        format!("<Results><RaceId>r</RaceId><Id>1</Id><Gates>{gates}</Gates></Results>")
    };
    let title = |text: &str| format!("<Events><MainTitle>{text}</MainTitle></Events>");
    let cases: [BoundCase<'_>; 10] = [
        ("events", 100, &|count| of(count, &|_| title("x"))),
        ("classes", 1_000, &|count| {
            of(count, &|n| format!("<Classes><ClassId>{n}</ClassId><Class>K</Class></Classes>"))
        }),
        ("categories in a class", 200, &|count| class(&of(count, &category))),
        ("participants", 20_000, &|count| {
            of(count, &|n| {
                format!("<Participants><Id>{n}</Id><ClassId>K</ClassId><FamilyName>A</FamilyName></Participants>")
            })
        }),
        ("races", 2_000, &|count| of(count, &|n| format!("<Schedule><RaceId>{n}</RaceId></Schedule>"))),
        ("results", 100_000, &|count| of(count, &|n| row("r", n, [""; 3]))),
        ("courses", 1_000, &|count| of(count, &|n| format!("<CourseData><CourseNr>{n}</CourseNr></CourseData>"))),
        ("characters in MainTitle", 300, &|count| title(&"é".repeat(count))),
        ("gates in a result", 100, &gates),
        ("bytes in the file", 10 * 1024 * 1024, &|count| " ".repeat(count - file("").len())),
    ];
    for (what, max, records) in cases {
        good(&records(max));
        match read(file(&records(max + 1)).as_bytes()) {
            Err(refusal @ Refusal::TooLarge { what: told, max: bound }) => {
                assert_eq!((told, bound, refusal.code()), (what, max, Code::TooLarge));
            }
            other => panic!("{what}: {:?}", other.map(|_| "read")),
        }
    }
}

#[test]
fn what_is_passed_over_may_be_as_long_as_it_likes() {
    let long = "x".repeat(100_000);
    let inner = format!("<Logo>{long}</Logo><Table><Time>{long}</Time></Table>");
    let export = good(&format!(
        "{inner}<Results><RaceId>r</RaceId>{inner}<Id>1</Id><Time>9127</Time><Gates>{}2</Gates></Results>",
        " ".repeat(200)
    ));
    assert_eq!(export.results[0].time_ms, Some(91_270));
    let blanks = " ".repeat(100_000);
    let records = format!("<Results><RaceId>r</RaceId><Id>1</Id><Gates>{blanks}2</Gates></Results>");
    assert!(matches!(read(file(&records).as_bytes()), Err(Refusal::TooLarge { what: "gates in a result", .. })));
}

/// A change to a file: at a place, so many bytes go and others come.
fn changed(mut bytes: Vec<u8>, changes: &[(prop::sample::Index, usize, Vec<u8>)]) -> Vec<u8> {
    for (index, gone, come) in changes {
        let start = index.index(bytes.len() + 1);
        let end = (start + gone).min(bytes.len());
        bytes.splice(start..end, come.iter().copied());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn no_markup_makes_it_panic(text in "(<[/!?]?(Canoe123Data|Results|Time|Gates|a)?[ />]?|[<>&;\\]'\"a \\-!]|&#[0-9a-fx]{1,8};|<!\\[CDATA\\[|<!DOCTYPE|<!--|-->|\\PC){0,40}") {
        let _ = read(text.as_bytes());
        let _ = read(file(&text).as_bytes());
    }

    #[test]
    fn no_change_to_a_good_file_makes_it_panic(
        changes in prop::collection::vec(
            (any::<prop::sample::Index>(), 0_usize..40, prop_oneof![
                prop::collection::vec(any::<u8>(), 0..8),
                "[0-9 .<>/&;]{0,12}".prop_map(String::into_bytes),
                any::<prop::sample::Index>().prop_map(|from| {
                    let from = from.index(ALL.len());
                    ALL.as_bytes()[from..(from + 60).min(ALL.len())].to_vec()
                }),
            ]),
            1..5,
        ),
    ) {
        let _ = read(&changed(file(ALL).into_bytes(), &changes));
    }

    #[test]
    fn no_value_makes_it_panic(element in "Time|Pen|Total|TotalTotal|Gates|Bib|Status|RaceId|HeatNr", text in "[0-9 .]{0,12}|[0-9]{0,30}|\\PC{0,10}") {
        let escaped = quick_xml::escape::escape(text.as_str()).into_owned();
        let _ = read(file(&format!("<Results><RaceId>r</RaceId><Id>1</Id><{element}>{escaped}</{element}></Results>")).as_bytes());
    }

    /// Whoever writes the same races in hundredths, in thousandths or in seconds is understood alike.
    #[test]
    fn the_unit_does_not_matter(rows in prop::collection::vec((0_usize..3, 6_000_i64..=20_000, 0_i64..60), 1..20)) {
        let written = |unit: &dyn Fn(i64, i64) -> [String; 3]| {
            let row = |(n, (race, time, pen)): (usize, &(usize, i64, i64))| {
                let [time, pen, total] = unit(*time, pen * 2);
                row(&format!("r{race}"), n, [&time, &pen, &total])
            };
            good(&rows.iter().enumerate().map(row).collect::<String>()).results
        };
        let point = |hundredths: i64| format!("{}.{:02}", hundredths / 100, hundredths % 100);
        let hundredths = written(&|time, pen| [time, pen * 100, time + pen * 100].map(|number| number.to_string()));
        let thousandths = written(&|time, pen| [time * 10, pen, time * 10 + pen * 1_000].map(|number| number.to_string()));
        let seconds = written(&|time, pen| [point(time), pen.to_string(), point(time + pen * 100)]);
        for (result, (_, time, pen)) in hundredths.iter().zip(&rows) {
            prop_assert_eq!(result.time_ms, Some(time * 10));
            prop_assert_eq!(result.pen_ms, Some(pen * 2_000));
            prop_assert_eq!(result.total_ms, Some(time * 10 + pen * 2_000));
        }
        prop_assert_eq!(&hundredths, &thousandths);
        prop_assert_eq!(&hundredths, &seconds);
    }

    /// A gate line comes back as it was written, in the program's table as well as with single blanks.
    #[test]
    fn a_gate_line_comes_back(
        gates in prop::collection::vec(prop::option::of(prop::sample::select(vec![0_i64, 2, 4, 50, 52, 100, 150])), 0..30),
    ) {
        let of = |line: String| {
            good(&format!("<Results><RaceId>r</RaceId><Id>1</Id><Gates>{line}</Gates></Results>")).results[0].gates.clone()
        };
        let kept = gates.iter().rposition(Option::is_some).map(|last| gates[..=last].to_vec());
        let cell = |gate: &Option<i64>| format!("{:>3}", gate.map_or(String::new(), |gate| gate.to_string()));
        prop_assert_eq!(of(gates.iter().map(cell).collect()), kept);
        let judged: Vec<i64> = gates.into_iter().flatten().collect();
        let words: Vec<String> = judged.iter().map(ToString::to_string).collect();
        let kept = (!judged.is_empty()).then(|| judged.into_iter().map(Some).collect());
        prop_assert_eq!(of(words.join(" ")), kept);
    }
}
