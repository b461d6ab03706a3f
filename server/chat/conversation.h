// What has been said in a chat, and how it goes on.
#pragma once

#include <iosfwd>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"
#include "encoding/ordered_json.h"
#include "server/chat/reply_view.h"
#include "server/http/http_client.h"
#include "server/options.h"

namespace ft::server {

class Conversation {
 public:
  Conversation(const ChatOptions& options, Url url, std::ostream& out, bool terminal)
      : options_(options), url_(std::move(url)), out_(out), terminal_(terminal) {}

  // The server's first model, unless one was named; waits while the server loads. Writes why not.
  bool choose_model();

  void ask(const std::string& line);
  // Another reply to the last question.
  void retry();
  // More of a reply that was stopped or cut.
  void go_on();
  // Forgets the last question and its reply.
  void undo();
  void clear() { turns_.clear(); }
  void write_history() const;
  void write_reasoning() const;

  // "on", "off", "high", "max" or "default".
  void set_thinking(std::string mode) { options_.thinking = std::move(mode); }
  void set_system(std::string text) { options_.system = std::move(text); }

 private:
  struct Turn {
    bool user = true;
    std::string content;
    std::string reasoning = {};
    bool partial = false;  // it was stopped or cut
  };

  std::vector<Header> headers() const;
  void complain(const std::string& message) const;
  std::string request_body(bool go_on) const;
  // Replies to what was said, and keeps the reply; forgets the question where nothing comes.
  void reply(bool go_on);
  // False when there is no reply. `stopped`: by Ctrl-C.
  bool stream_reply(bool go_on, ReplyView& view, bool& stopped) const;

  ChatOptions options_;
  Url url_;
  std::ostream& out_;
  bool terminal_;
  std::vector<Turn> turns_;
};

}  // namespace ft::server
