pub(super) mod sync_reader;
