//! What no single crate can say about itself: the helpers of the tests in `tests/`.

#![forbid(unsafe_code)]

pub mod phone;
pub mod points;
pub mod practice;
pub mod prepared;
pub mod progress;
pub mod served;
pub mod sim;
pub mod story;
pub mod tls_lab;
