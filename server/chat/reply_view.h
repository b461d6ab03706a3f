// A reply in the terminal as it streams: the reasoning folded, the text, and a line of figures.
#pragma once

#include <chrono>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

#include "encoding/ordered_json.h"

namespace ft::server {

class ReplyView {
 public:
  ReplyView(std::ostream& out, bool terminal) : out_(out), terminal_(terminal) {}

  // The data of one server-sent event.
  void show(std::string_view data);
  // After the last one. Writes the figures where the reply is complete.
  void end();

  const std::string& content() const { return content_; }
  const std::string& reasoning() const { return reasoning_; }
  // Of the server, within the stream; "" without.
  const std::string& error() const { return error_; }
  // Whether the reply was cut at the limit of tokens.
  bool cut() const { return finish_ == "length"; }

 private:
  using Clock = std::chrono::steady_clock;

  void show_reasoning(const std::string& text);
  void show_content(const std::string& text);
  void show_calls(const encoding::Json& calls);
  void fold();
  void write_dim(const std::string& text);
  std::string figures() const;

  std::ostream& out_;
  const bool terminal_;
  std::string content_;
  std::string reasoning_;
  std::string error_;
  std::string finish_;
  encoding::Json last_;  // the chunk with the usage
  bool thinking_ = false;
  bool in_call_ = false;
  Clock::time_point begun_ = Clock::now();
  std::optional<Clock::time_point> first_;
};

// The message of an error's JSON, or the beginning of what is none.
std::string error_text(const std::string& body);

}  // namespace ft::server
