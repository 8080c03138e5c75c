//! Values with a type of their own, so that a price can't be taken for a quantity.

use std::fmt;
use std::ops::{AddAssign, Mul, Sub, SubAssign};

use everfold_sdk::prelude::*;

/// An amount of money in cents: a whole number, so that sums are exact.
#[data]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
// Inline, so that a command's field can narrow it by a range of its own.
#[schemars(inline)]
pub struct Cents(pub u64);

/// What an article is known by: letters, digits and hyphens, at most 32.
#[data]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub struct Sku(#[schemars(regex(pattern = "^[A-Z0-9-]{1,32}$"))] pub String);

impl fmt::Display for Cents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.0 / 100, self.0 % 100)
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AddAssign for Cents {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

impl Sub for Cents {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 - other.0)
    }
}

impl SubAssign for Cents {
    fn sub_assign(&mut self, other: Self) {
        self.0 -= other.0;
    }
}

impl Mul<u32> for Cents {
    type Output = Self;

    fn mul(self, count: u32) -> Self {
        Self(self.0 * u64::from(count))
    }
}
