#[path = "../../common/json_numbers.rs"]
mod json_numbers;
