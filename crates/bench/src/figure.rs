//! A figure: what the product did and what the anchor did, round by round.

use std::fmt::Write as _;

/// What one subcommand measures.
pub struct Part {
    /// Its heading.
    pub title: &'static str,
    /// How it is measured, in one paragraph.
    pub how: String,
    /// The figures.
    pub figures: Vec<Figure>,
}

/// One line of a table.
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// In what.
    pub unit: &'static str,
    /// The product, one value for each round.
    pub product: Vec<f64>,
    /// The anchor, likewise.
    pub anchor: Vec<f64>,
    /// What it should be.
    pub aim: Aim,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Aim {
    /// The product's value over the anchor's, at least.
    RatioAtLeast(f64),
    /// The same, at most.
    RatioAtMost(f64),
    /// The product's own value, at most.
    ValueAtMost(f64),
    /// Nothing: it is only told.
    None,
}

/// The middle of several rounds, and how far they lie apart.
#[derive(Debug, Clone, Copy)]
pub struct Spread {
    /// The median.
    pub middle: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(values: &[f64]) -> Self {
        let sorted = sorted(values);
        Self { middle: percentile(&sorted, 50.0), low: percentile(&sorted, 0.0), high: percentile(&sorted, 100.0) }
    }

    fn shown(&self) -> String {
        if self.low == self.high {
            return short(self.middle);
        }
        format!("{} ({} to {})", short(self.middle), short(self.low), short(self.high))
    }
}

impl Figure {
    /// The ratio of each round: product and anchor were measured next to each other.
    pub fn ratio(&self) -> Spread {
        let ratios: Vec<f64> =
            self.product.iter().zip(&self.anchor).map(|(product, anchor)| product / anchor).collect();
        Spread::of(&ratios)
    }

    fn line(&self) -> [String; 5] {
        let (product, anchor) = (Spread::of(&self.product), Spread::of(&self.anchor));
        let ratio = self.ratio();
        let met = |met: bool| if met { "met" } else { "missed" };
        let aim = match self.aim {
            Aim::RatioAtLeast(aim) => format!("ratio ≥ {}: {}", short(aim), met(ratio.middle >= aim)),
            Aim::RatioAtMost(aim) => format!("ratio ≤ {}: {}", short(aim), met(ratio.middle <= aim)),
            Aim::ValueAtMost(aim) => format!("≤ {} {}: {}", short(aim), self.unit, met(product.middle <= aim)),
            Aim::None => "–".to_owned(),
        };
        [format!("{}, {}", self.what, self.unit), product.shown(), anchor.shown(), ratio.shown(), aim]
    }
}

impl Part {
    /// Prints what was measured and gives it on.
    pub fn told(self) -> Self {
        println!("\n{}", self.markdown());
        self
    }

    /// The part as a section of the page.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n{}\n\n", self.title, self.how);
        let head = ["what", "Jeton", "anchor", "ratio", "aim"].map(str::to_owned);
        let lines: Vec<[String; 5]> = std::iter::once(head).chain(self.figures.iter().map(Figure::line)).collect();
        for (number, line) in lines.iter().enumerate() {
            let _ = writeln!(text, "| {} |", line.join(" | "));
            if number == 0 {
                text.push_str("| --- | --- | --- | --- | --- |\n");
            }
        }
        text
    }
}

/// In order, for [`percentile`].
pub fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The value below which `percent` of the sorted ones lie: one of them, never something in between.
pub fn percentile(sorted: &[f64], percent: f64) -> f64 {
    let last = sorted.len().checked_sub(1).expect("something was measured");
    sorted[(last as f64 * percent / 100.0).round() as usize]
}

/// Three digits that mean something.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => {
            let (mut rest, mut groups) = (value.round() as u64, Vec::new());
            while rest >= 1_000 {
                groups.insert(0, format!("{:03}", rest % 1_000));
                rest /= 1_000;
            }
            groups.insert(0, rest.to_string());
            groups.join(",")
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_the_ends_and_the_ratio_of_each_round() {
        let figure = Figure {
            what: "cost".to_owned(),
            unit: "µs",
            product: vec![3.0, 30.0, 1.0],
            anchor: vec![2.0, 20.0, 1.0],
            aim: Aim::RatioAtMost(1.5),
        };
        assert_eq!(
            figure.line(),
            ["cost, µs", "3.00 (1.00 to 30.0)", "2.00 (1.00 to 20.0)", "1.50 (1.00 to 1.50)", "ratio ≤ 1.50: met"]
        );
        assert_eq!([short(1_012_345.6), short(1_000.0), short(999.4)], ["1,012,346", "1,000", "999"]);
        let hundred: Vec<f64> = (0..=100).map(f64::from).collect();
        assert_eq!((percentile(&hundred, 50.0), percentile(&hundred, 99.0)), (50.0, 99.0));
    }
}
