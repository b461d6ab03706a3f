// Server-sent events out of a stream of bytes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ft::eval {

class EventParser {
 public:
  // Takes in bytes and returns the data of the events that they complete, lines joined by newlines. Comments
  // and other fields are dropped.
  std::vector<std::string> add(std::string_view bytes);

 private:
  std::string line_;
  std::string data_;
  bool has_data_ = false;
};

}  // namespace ft::eval
