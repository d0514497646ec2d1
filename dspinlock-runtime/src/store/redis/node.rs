pub(super) mod tracked_read;
