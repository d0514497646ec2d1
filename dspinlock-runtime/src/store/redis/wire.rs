pub(super) mod command;
pub(super) mod reply;
pub(super) mod scripts;
