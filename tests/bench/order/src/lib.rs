//! The document of the echo benchmark, and what is done to it. The native peer and the guests share
//! this code, so that what is compared is where it runs.

use serde::{Deserialize, Serialize};

/// An order, as a shop would post it.
#[derive(Deserialize, Serialize)]
struct Order {
    id: u64,
    revision: u32,
    customer: Customer,
    lines: Vec<Line>,
    total_cents: u64,
    comment: String,
}

#[derive(Deserialize, Serialize)]
struct Customer {
    name: String,
    email: String,
    city: String,
    newsletter: bool,
}

#[derive(Deserialize, Serialize)]
struct Line {
    sku: String,
    title: String,
    quantity: u32,
    price_cents: u64,
    tags: Vec<String>,
}

/// Reads an order, counts its revision up and its lines together, and writes it again.
pub fn answer(request: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let mut order: Order = serde_json::from_slice(request)?;
    order.revision += 1;
    let lines = order.lines.iter();
    order.total_cents = lines
        .map(|line| u64::from(line.quantity) * line.price_cents)
        .sum();
    serde_json::to_vec(&order)
}
