//! The minimal ACL rule of SECURITY.md, taken from the document itself.

use crate::Redis;

const SECURITY: &str = include_str!("../../../SECURITY.md");

impl Redis {
    /// Leaves two users on this server: `app`, with the rule of SECURITY.md, the password `any` and the `extra`
    /// permissions; and the user of the test kit.
    pub fn restrict_to_least_privilege(&self, extra: &[&str]) {
        let start = SECURITY
            .find("ACL SETUSER app")
            .expect("SECURITY.md has the rule");
        let block = SECURITY[start..].split("```").next().unwrap_or_default();
        let words = block.split_whitespace().filter(|word| *word != "\\");
        let mut rule: Vec<&str> = words
            .map(|word| if word.starts_with('>') { ">any" } else { word })
            .collect();
        for permission in extra {
            assert!(
                SECURITY.contains(permission),
                "SECURITY.md does not name `{permission}`"
            );
        }
        rule.extend(extra);
        self.raw(&rule);
        self.raw(&["ACL", "SETUSER", "default", "off"]);
    }

    /// The commands that this server has denied so far.
    pub fn acl_log(&self) -> String {
        format!("{:?}", self.raw(&["ACL", "LOG"]))
    }
}
