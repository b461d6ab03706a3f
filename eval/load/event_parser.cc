#include "eval/load/event_parser.h"

#include <utility>

namespace ft::eval {

std::vector<std::string> EventParser::add(std::string_view bytes) {
  std::vector<std::string> events;
  for (const char c : bytes) {
    if (c == '\r') continue;  // ends of lines are \n or \r\n here
    if (c != '\n') {
      line_ += c;
      continue;
    }
    if (line_.empty()) {
      if (has_data_) events.push_back(std::exchange(data_, ""));
      has_data_ = false;
    } else if (line_.starts_with("data:")) {
      if (has_data_) data_ += '\n';
      data_ += line_.substr(line_.starts_with("data: ") ? 6 : 5);
      has_data_ = true;
    }
    line_.clear();
  }
  return events;
}

}  // namespace ft::eval
