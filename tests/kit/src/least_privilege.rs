//! What the manual says, word for word.

use crate::Redis;

const SECURITY: &str = include_str!("../../../SECURITY.md");

impl Redis {
    /// This server for two users: the smallest that the manual names, `app` with the password `any` and what it needs
    /// `besides`, and the kit's own.
    pub fn for_the_smallest_user(&self, besides: &[&str]) {
        let start = SECURITY.find("ACL SETUSER app").expect("the manual's rule");
        let block = SECURITY[start..].split("```").next().unwrap_or_default();
        let words = block.split_whitespace().filter(|word| *word != "\\");
        let mut rule: Vec<&str> = words
            .map(|word| if word.starts_with('>') { ">any" } else { word })
            .collect();
        for permission in besides {
            assert!(
                SECURITY.contains(permission),
                "the manual does not name {permission}"
            );
        }
        rule.extend(besides);
        self.raw(&rule);
        self.raw(&["ACL", "SETUSER", "default", "off"]);
    }

    /// What this server has refused so far.
    pub fn refusals(&self) -> String {
        format!("{:?}", self.raw(&["ACL", "LOG"]))
    }
}
