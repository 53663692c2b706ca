/** What a channel has counted while it served. */
export interface ServeCounts {
  /** Requests that were dropped, because replies to their sender wait in the queue, or too many do. */
  droppedRequests: number
  /**
   * Replies that were dropped: their sender has no name, or a relative one, or their connection was
   * replaced.
   */
  droppedReplies: number
  /** Requests whose handler has failed, and that got no reply. */
  failedRequests: number
}

export function noCounts(): ServeCounts {
  return { droppedRequests: 0, droppedReplies: 0, failedRequests: 0 }
}
