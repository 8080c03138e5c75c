//! Pages that are bounded in bytes: a limit in rows alone would let large events fill the host's memory.

use std::pin::pin;

use futures_util::{Stream, TryStreamExt as _};

/// Payload bytes after which a page ends, whatever its limit in rows. One row is always taken.
const PAGE_BYTES: usize = 8 << 20;

/// Takes rows until there are no more, or the page has its bytes; then the second part is true.
pub(super) async fn take<R>(
    rows: impl Stream<Item = Result<R, sqlx::Error>>,
    size: impl Fn(&R) -> usize,
) -> Result<(Vec<R>, bool), sqlx::Error> {
    let mut rows = pin!(rows);
    let (mut taken, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.try_next().await? {
        bytes += size(&row);
        taken.push(row);
        if bytes >= PAGE_BYTES {
            return Ok((taken, true));
        }
    }
    Ok((taken, false))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_page_ends_with_its_bytes_and_has_one_row_at_least() {
        let page = async |sizes: Vec<usize>| take(stream::iter(sizes.into_iter().map(Ok)), |size| *size).await.unwrap();
        assert_eq!(page(vec![1, 2, 3]).await, (vec![1, 2, 3], false));
        assert_eq!(page(vec![1, PAGE_BYTES, 3]).await, (vec![1, PAGE_BYTES], true));
        assert_eq!(page(vec![PAGE_BYTES + 1, 1]).await, (vec![PAGE_BYTES + 1], true));
    }
}
