// Finds the client's stop strings in streamed content and holds back text that may become one.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ft::encoding {

// To be fed with content deltas only, never with reasoning or markup (encoding.md section 11). At
// most (longest stop) - 1 bytes are held back, and only while they are a prefix of a stop string.
class StopMatcher {
 public:
  struct Match {
    size_t begin;  // byte offset in all content fed so far where the matched string begins
    size_t stop;   // index of the stop string
  };

  // Empty stop strings are ignored.
  explicit StopMatcher(std::vector<std::string> stops);

  // Text that is safe to show. On a match (earliest begin; on a tie the longest string among those complete)
  // the text before it, and from then on nothing.
  std::string feed(std::string_view content);
  // No more content: what was held back ("" after a match).
  std::string flush();

  const std::optional<Match>& match() const { return match_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  size_t shown_ = 0;  // bytes given out so far
  std::optional<Match> match_;
};

}  // namespace ft::encoding
