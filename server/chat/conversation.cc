#include "server/chat/conversation.h"

#include <fmt/format.h>

#include <chrono>
#include <functional>
#include <ostream>
#include <thread>
#include <utility>

#include "server/chat/terminal_text.h"

namespace ft::server {
namespace {

using encoding::Json;

// Cuts a stream of bytes into the data of server-sent events.
class EventReader {
 public:
  void feed(std::string_view bytes, const std::function<void(std::string_view)>& on_data) {
    buffer_ += bytes;
    size_t begin = 0;
    for (size_t end = buffer_.find('\n', begin); end != std::string::npos; end = buffer_.find('\n', begin)) {
      std::string_view line(buffer_.data() + begin, end - begin);
      if (line.starts_with("data: ")) on_data(line.substr(6));
      begin = end + 1;
    }
    buffer_.erase(0, begin);
  }

 private:
  std::string buffer_;
};

Json message(const char* role, const std::string& content) {
  Json json = Json::object();
  json.set("role", role);
  json.set("content", content);
  return json;
}

void set_thinking_fields(Json& body, const std::string& mode) {
  if (mode == "default") return;
  Json thinking = Json::object();
  thinking.set("type", mode == "off" ? "disabled" : "enabled");
  body.set("thinking", std::move(thinking));
  if (mode == "high" || mode == "max") body.set("reasoning_effort", mode);
}

}  // namespace

bool Conversation::choose_model() {
  for (bool told = false;; told = true) {
    auto exchange = HttpExchange::start(url_, "GET", "/v1/models", headers(), "");
    if (!exchange) return complain(exchange.error().message), false;
    auto body = (*exchange)->read_all();
    if (!body) return complain(body.error().message), false;
    const auto json = Json::parse(*body);
    if (json && json->get("error").get("code") == Json("loading")) {
      if (!told) out_ << "waiting for the model to load\n" << std::flush;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      continue;
    }
    if (!json || (*exchange)->status() != 200) return complain(error_text(*body)), false;
    const Json& models = json->get("data");
    if (!models.is_array() || models.size() == 0) return complain("the server has no model"), false;
    const Json& first = models.as_array()[0].get("id");
    if (options_.model.empty() && first.is_string()) options_.model = first.as_string();
    out_ << terminal_text(options_.model) << " at " << url_.host << ":" << url_.port
         << ". /help lists the commands.\n";
    return true;
  }
}

void Conversation::ask(const std::string& line) {
  turns_.push_back({.content = line});
  reply(false);
}

void Conversation::retry() {
  while (!turns_.empty() && !turns_.back().user) turns_.pop_back();
  if (turns_.empty()) return complain("there is nothing to reply to");
  reply(false);
}

void Conversation::go_on() {
  if (turns_.empty() || !turns_.back().partial) return complain("the last reply is complete");
  reply(true);
}

void Conversation::undo() {
  while (!turns_.empty() && !turns_.back().user) turns_.pop_back();
  if (turns_.empty()) return complain("nothing has been said");
  turns_.pop_back();
}

void Conversation::write_history() const {
  for (const Turn& turn : turns_)
    out_ << (turn.user ? "> " : "") << terminal_text(turn.content) << (turn.partial ? " [stopped]" : "")
         << "\n";
}

void Conversation::write_reasoning() const {
  const bool any = !turns_.empty() && !turns_.back().user && !turns_.back().reasoning.empty();
  out_ << (any ? terminal_text(turns_.back().reasoning) : "the last reply has no reasoning") << "\n";
}

std::vector<Header> Conversation::headers() const {
  std::vector<Header> headers{{"Content-Type", "application/json"}};
  if (!options_.api_key.empty()) headers.emplace_back("Authorization", "Bearer " + options_.api_key);
  return headers;
}

void Conversation::complain(const std::string& message) const {
  out_ << "error: " << message << "\n";
}

std::string Conversation::request_body(bool go_on) const {
  Json messages = Json::array();
  if (!options_.system.empty()) messages.push_back(message("system", options_.system));
  for (const Turn& turn : turns_) {
    messages.push_back(message(turn.user ? "user" : "assistant", turn.content));
    if (!turn.user && !turn.reasoning.empty())
      messages.as_array().back().set("reasoning_content", turn.reasoning);
  }
  if (go_on) messages.as_array().back().set("prefix", true);
  Json usage = Json::object();
  usage.set("include_usage", true);
  Json body = Json::object();
  body.set("model", options_.model);
  body.set("messages", std::move(messages));
  body.set("stream", true);
  body.set("stream_options", std::move(usage));
  body.set("include_speculation", true);
  if (options_.temperature >= 0.0) body.set("temperature", options_.temperature);
  if (options_.max_tokens > 0) body.set("max_tokens", options_.max_tokens);
  set_thinking_fields(body, options_.thinking);
  return body.dump();
}

void Conversation::reply(bool go_on) {
  ReplyView view(out_, terminal_);
  bool stopped = false;
  const bool came = stream_reply(go_on, view, stopped);
  if (view.content().empty() && view.reasoning().empty()) {
    // So that the next try does not begin with a stale question.
    if (!came && !go_on) turns_.pop_back();
    return;
  }
  if (!go_on) turns_.push_back({.user = false, .content = ""});
  Turn& turn = turns_.back();
  turn.content += view.content();
  turn.reasoning += view.reasoning();
  turn.partial = !came || view.cut();
  if (turn.partial) out_ << (stopped ? "[stopped" : "[cut") << "; /continue goes on, /undo forgets it]\n";
}

bool Conversation::stream_reply(bool go_on, ReplyView& view, bool& stopped) const {
  const auto failed = [&](const Error& error) {
    stopped = error.code == ErrorCode::kCancelled;
    out_ << "\n";
    if (!stopped) complain(error.message);
    return false;
  };
  auto exchange = HttpExchange::start(url_, "POST", "/v1/chat/completions", headers(), request_body(go_on),
                                      OnInterrupt::kCancel);
  if (!exchange) return failed(exchange.error());
  if ((*exchange)->status() != 200) {
    complain(error_text((*exchange)->read_all().value_or("")));
    return false;
  }
  EventReader events;
  for (;;) {
    auto bytes = (*exchange)->read();
    if (!bytes) return failed(bytes.error());
    if (bytes->empty()) break;
    events.feed(*bytes, [&](std::string_view data) { view.show(data); });
    out_.flush();
  }
  view.end();
  if (!view.error().empty()) complain(view.error());
  return view.error().empty();
}

}  // namespace ft::server
