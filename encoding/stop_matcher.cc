#include "encoding/stop_matcher.h"

#include <utility>

#include "encoding/marker_search.h"

namespace ft::encoding {

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

std::string StopMatcher::feed(std::string_view content) {
  if (match_) return {};
  held_ += content;
  // The match that is complete first, so that the result does not depend on how the text was cut.
  size_t first_end = std::string::npos;
  for (size_t i = 0; i < stops_.size(); ++i) {
    if (stops_[i].empty()) continue;
    const size_t begin = held_.find(stops_[i]);
    if (begin == std::string::npos) continue;
    const size_t end = begin + stops_[i].size();
    if (end > first_end || (end == first_end && shown_ + begin >= match_->begin)) continue;
    first_end = end;
    match_ = Match{shown_ + begin, i};
  }
  size_t keep = held_.size();
  if (match_) {
    keep = match_->begin - shown_;
  } else {
    std::vector<std::string_view> stops;
    for (const std::string& stop : stops_) {
      if (!stop.empty()) stops.push_back(stop);
    }
    keep -= held_back(std::string_view(held_), std::span<const std::string_view>(stops));
  }
  std::string out = held_.substr(0, keep);
  held_.erase(0, match_ ? std::string::npos : keep);
  shown_ += out.size();
  return out;
}

std::string StopMatcher::flush() {
  shown_ += held_.size();
  return std::exchange(held_, {});
}

}  // namespace ft::encoding
