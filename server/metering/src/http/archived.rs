//! Marks objects in listings whose storage class cannot be read at once: what reads listings does not show the class.

/// The entity tag that a listing shows for an object in an archive class; no object has it.
pub const ARCHIVED_ETAG: &str = "archived";

/// Classes whose objects must be restored before they can be read. `GLACIER_IR` can be read at once.
const ARCHIVES: [&str; 2] = [
    "<StorageClass>GLACIER</StorageClass>",
    "<StorageClass>DEEP_ARCHIVE</StorageClass>",
];

/// The listing page with archived objects marked; `None` when it has none.
pub(super) fn marked(page: &str) -> Option<String> {
    if !ARCHIVES.iter().any(|class| page.contains(class)) {
        return None;
    }
    let mut marked = String::with_capacity(page.len());
    let mut rest = page;
    while let Some(end) = rest.find("</Contents>") {
        let (object, after) = rest.split_at(end);
        if ARCHIVES.iter().any(|class| object.contains(class)) {
            let start = object.rfind("<Contents>").unwrap_or(0);
            marked.push_str(&object[..start]);
            marked.push_str(&without_tag(&object[start..]));
            marked.push_str("<ETag>");
            marked.push_str(ARCHIVED_ETAG);
            marked.push_str("</ETag>");
        } else {
            marked.push_str(object);
        }
        marked.push_str("</Contents>");
        rest = &after["</Contents>".len()..];
    }
    marked.push_str(rest);
    Some(marked)
}

fn without_tag(object: &str) -> String {
    match (object.find("<ETag>"), object.find("</ETag>")) {
        (Some(from), Some(to)) if from < to => {
            format!("{}{}", &object[..from], &object[to + "</ETag>".len()..])
        }
        _ => object.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, class: &str) -> String {
        format!(
            "<Contents><Key>{key}</Key><ETag>&quot;1&quot;</ETag><StorageClass>{class}</StorageClass></Contents>"
        )
    }

    #[test]
    fn only_archived_objects_are_marked() {
        let page =
            |objects: &[String]| format!("<L><IsTruncated>false</IsTruncated>{}</L>", objects.concat());
        let readable = [
            object("a", "STANDARD"),
            object("b", "GLACIER_IR"),
            object("GLACIER", "STANDARD"),
        ];
        assert_eq!(marked(&page(&readable)), None);
        let mixed = [
            object("a", "STANDARD"),
            object("b", "GLACIER"),
            object("c", "DEEP_ARCHIVE"),
            object("d", "STANDARD"),
        ];
        let archived = |key: &str, class: &str| {
            format!(
                "<Contents><Key>{key}</Key><StorageClass>{class}</StorageClass><ETag>archived</ETag></Contents>"
            )
        };
        let expected = [
            object("a", "STANDARD"),
            archived("b", "GLACIER"),
            archived("c", "DEEP_ARCHIVE"),
            object("d", "STANDARD"),
        ];
        assert_eq!(marked(&page(&mixed)), Some(page(&expected)));
    }
}
