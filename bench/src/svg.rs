//! Two kinds of plots, drawn as text: bars in groups, and lines over a number of viewers. Both scales are logarithmic:
//! what is compared lies up to a hundred times apart.

use std::fmt::Write;

/// One colour for each series, told apart without colour too by their order.
const COLOURS: [&str; 6] = ["#1b6ca8", "#6ab04c", "#e1a11a", "#a83279", "#5f6b6d", "#c0392b"];
const WIDTH: f64 = 860.0;
/// Room for the names on the left.
const LEFT: f64 = 250.0;
const RIGHT: f64 = 70.0;
const TOP: f64 = 64.0;

/// A name and a value for each series, where there is one.
pub type Row = (String, Vec<Option<f64>>);

fn open(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"16\"><tspan font-weight=\"bold\">{}</tspan> \
         <tspan font-size=\"12\" fill=\"#555\">logarithmic scale</tspan></text>\n",
        escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace(['*', '`'], "")
}

fn legend(out: &mut String, names: &[&str]) {
    let mut x = LEFT;
    for (name, colour) in names.iter().zip(COLOURS) {
        let _ = writeln!(out, "<rect x=\"{x}\" y=\"38\" width=\"12\" height=\"12\" fill=\"{colour}\"/>");
        let _ = writeln!(out, "<text x=\"{}\" y=\"49\">{}</text>", x + 17.0, escaped(name));
        x += 34.0 + 7.5 * name.chars().count() as f64;
    }
}

/// The powers of ten around some values.
fn decades(values: impl Iterator<Item = f64>) -> (i32, i32) {
    let (low, high) = values
        .filter(|value| *value > 0.0)
        .fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return (0, 1);
    }
    let (low, high) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (low, high.max(low + 1))
}

/// A number, or a dash where there is none.
pub fn shown(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), figure)
}

/// A number with three digits that count, and `k` or `M`; a small whole one as it is.
pub fn figure(value: f64) -> String {
    let (scaled, unit) = match value.abs() {
        big if big >= 1e6 => (value / 1e6, " M"),
        large if large >= 1e4 => (value / 1e3, " k"),
        _ => (value, ""),
    };
    let text = match scaled.abs() {
        whole if unit.is_empty() && whole.fract() == 0.0 => format!("{scaled:.0}"),
        large if large >= 100.0 => format!("{scaled:.0}"),
        medium if medium >= 10.0 => format!("{scaled:.1}"),
        _ => format!("{scaled:.2}"),
    };
    text + unit
}

/// Bars, a group for each row.
pub fn bars(title: &str, series: &[&str], rows: &[Row]) -> String {
    let (low, high) = decades(rows.iter().flat_map(|(_, values)| values.iter().flatten().copied()));
    let group = 16.0 * series.len() as f64 + 10.0;
    let height = TOP + group * rows.len() as f64 + 34.0;
    let x = |value: f64| LEFT + (value.log10() - f64::from(low)) / f64::from(high - low) * (WIDTH - LEFT - RIGHT);
    let mut out = open(height, title);
    legend(&mut out, series);
    for power in low..=high {
        let at = x(10_f64.powi(power));
        let _ = writeln!(out, "<line x1=\"{at}\" y1=\"{TOP}\" x2=\"{at}\" y2=\"{}\" stroke=\"#ddd\"/>", height - 30.0);
        let label = figure(10_f64.powi(power));
        let _ = writeln!(
            out,
            "<text x=\"{at}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{label}</text>",
            height - 12.0
        );
    }
    for (number, (name, values)) in rows.iter().enumerate() {
        let top = TOP + group * number as f64 + 5.0;
        let middle = top + group / 2.0 - 1.0;
        let _ = writeln!(out, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>", LEFT - 8.0, escaped(name));
        for (at, (value, colour)) in values.iter().zip(COLOURS).enumerate() {
            let Some(value) = value.filter(|value| *value > 0.0) else { continue };
            let (y, end) = (top + 16.0 * at as f64, x(value));
            let _ = writeln!(
                out,
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{:.1}\" height=\"13\" fill=\"{colour}\"/>\
                 <text x=\"{:.1}\" y=\"{}\" font-size=\"11\">{}</text>",
                (end - LEFT).max(1.0),
                end.max(LEFT) + 5.0,
                y + 11.0,
                figure(value)
            );
        }
    }
    out + "</svg>\n"
}

/// Lines, one for each row, over `xs`.
pub fn lines(title: &str, x_title: &str, xs: &[f64], rows: &[Row]) -> String {
    let height = 420.0;
    let (left, right, bottom) = (70.0, WIDTH - 30.0, height - 50.0);
    let (low, high) = decades(rows.iter().flat_map(|(_, values)| values.iter().flatten().copied()));
    let (first, last) = (xs.first().copied().unwrap_or(1.0), xs.last().copied().unwrap_or(2.0));
    let x = |value: f64| left + (value / first).ln() / (last / first).ln().max(f64::EPSILON) * (right - left);
    let y = |value: f64| bottom - (value.log10() - f64::from(low)) / f64::from(high - low) * (bottom - TOP);
    let mut out = open(height, title);
    let names: Vec<&str> = rows.iter().map(|(name, _)| &**name).collect();
    let legend_at = out.len();
    legend(&mut out, &names);
    // The legend of the bars begins behind their names; here it begins at the left.
    let moved = format!("<g transform=\"translate({},0)\">\n{}</g>\n", 16.0 - LEFT, out.split_off(legend_at));
    out += &moved;
    for power in low..=high {
        let at = y(10_f64.powi(power));
        let _ = writeln!(out, "<line x1=\"{left}\" y1=\"{at}\" x2=\"{right}\" y2=\"{at}\" stroke=\"#ddd\"/>");
        let label = figure(10_f64.powi(power));
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#555\">{label}</text>",
            left - 8.0,
            at + 4.0
        );
    }
    for value in xs {
        let label = figure(*value);
        let _ = writeln!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{label}</text>",
            x(*value),
            bottom + 20.0
        );
    }
    let _ = writeln!(
        out,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        f64::midpoint(left, right),
        height - 10.0,
        escaped(x_title)
    );
    for ((_, values), colour) in rows.iter().zip(COLOURS) {
        let points: Vec<String> = xs
            .iter()
            .zip(values)
            .filter_map(|(at, value)| Some(format!("{:.1},{:.1}", x(*at), y((*value)?))))
            .collect();
        let _ = writeln!(
            out,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            points.join(" ")
        );
        for point in points {
            if let Some((cx, cy)) = point.split_once(',') {
                let _ = writeln!(out, "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"3.5\" fill=\"{colour}\"/>");
            }
        }
    }
    out + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::{bars, decades, figure, lines};

    #[test]
    fn numbers_keep_three_digits() {
        let shown = [0.254, 8.83, 17.62, 114.2, 3.0, 9_870.0, 35_120.0, 4_020_000.0].map(figure);
        assert_eq!(shown, ["0.25", "8.83", "17.6", "114", "3", "9870", "35.1 k", "4.02 M"]);
        assert_eq!(decades([0.25, 11.0].into_iter()), (-1, 2));
    }

    #[test]
    fn plots_are_drawn_with_gaps_too() {
        let rows = [("a".to_owned(), vec![Some(1.0), None]), ("b & c".to_owned(), vec![None, Some(20.0)])];
        assert!(bars("t", &["x", "y"], &rows).contains("b &amp; c"));
        assert!(lines("t", "x", &[1000.0, 5000.0], &rows).ends_with("</svg>\n"));
    }
}
