#include "server/chat.h"

#include <chrono>
#include <functional>
#include <istream>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "encoding/ordered_json.h"
#include "server/http/http_client.h"

namespace ft::server {
namespace {

using encoding::Json;

constexpr std::string_view kHelp =
    "/clear forgets the conversation, /think on|off|default sets the mode, /system TEXT sets the system "
    "message, "
    "/exit leaves.\n";

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

class Conversation {
 public:
  Conversation(const ChatOptions& options, Url url, std::ostream& out, bool colour)
      : options_(options), url_(std::move(url)), out_(out), colour_(colour) {}

  // The server's first model, unless one was named; waits while the server loads. Writes why not.
  bool choose_model() {
    for (bool told = false;; told = true) {
      auto exchange = HttpExchange::start(url_, "GET", "/v1/models", headers(), "");
      if (!exchange) return complain(exchange.error().message);
      auto body = (*exchange)->read_all();
      if (!body) return complain(body.error().message);
      const auto json = Json::parse(*body);
      if (json && json->get("error").get("code") == Json("loading")) {
        if (!told) out_ << "waiting for the model to load\n" << std::flush;
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        continue;
      }
      if (!json || (*exchange)->status() != 200) return complain(error_text(*body));
      const Json& models = json->get("data");
      if (!models.is_array() || models.size() == 0) return complain("the server has no model");
      const Json& first = models.as_array()[0].get("id");
      if (options_.model.empty() && first.is_string()) options_.model = first.as_string();
      out_ << options_.model << " at " << url_.host << ":" << url_.port << ". /help lists the commands.\n";
      return true;
    }
  }

  // False when the conversation is over.
  bool take(const std::string& line) {
    if (line == "/exit" || line == "/quit") return false;
    if (line == "/help") {
      out_ << kHelp;
    } else if (line == "/clear") {
      turns_ = Json::array();
    } else if (line == "/think on" || line == "/think off" || line == "/think default") {
      options_.thinking = line.substr(7);
    } else if (line.starts_with("/system ")) {
      options_.system = line.substr(8);
    } else if (line.starts_with("/")) {
      out_ << kHelp;
    } else if (!line.empty()) {
      ask(line);
    }
    return true;
  }

 private:
  std::vector<Header> headers() const {
    std::vector<Header> headers{{"Content-Type", "application/json"}};
    if (!options_.api_key.empty()) headers.emplace_back("Authorization", "Bearer " + options_.api_key);
    return headers;
  }

  bool complain(const std::string& message) {
    out_ << "error: " << message << "\n";
    return false;
  }

  static std::string error_text(const std::string& body) {
    const auto json = Json::parse(body);
    const Json message = json ? json->get("error").get("message") : Json();
    return message.is_string() ? message.as_string() : body.substr(0, 300);
  }

  static Json message(const char* role, const std::string& content) {
    Json json = Json::object();
    json.set("role", role);
    json.set("content", content);
    return json;
  }

  std::string request_body() const {
    Json messages = Json::array();
    if (!options_.system.empty()) messages.push_back(message("system", options_.system));
    for (const Json& turn : turns_.as_array()) messages.push_back(turn);
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
    if (options_.thinking != "default") {
      Json thinking = Json::object();
      thinking.set("type", options_.thinking == "on" ? "enabled" : "disabled");
      body.set("thinking", std::move(thinking));
    }
    return body.dump();
  }

  void ask(const std::string& line) {
    turns_.push_back(message("user", line));
    content_.clear();
    dimmed_ = false;
    const auto begin = Clock::now();
    first_.reset();
    if (!stream_reply()) {
      turns_.as_array().pop_back();  // so that the next try does not begin with a stale question
      return;
    }
    turns_.push_back(message("assistant", content_));
    print_statistics(std::chrono::duration<double>(Clock::now() - begin).count(),
                     first_ ? std::chrono::duration<double>(*first_ - begin).count() : 0.0);
  }

  bool stream_reply() {
    auto exchange = HttpExchange::start(url_, "POST", "/v1/chat/completions", headers(), request_body());
    if (!exchange) return complain(exchange.error().message);
    if ((*exchange)->status() != 200) {
      return complain(error_text((*exchange)->read_all().value_or("")));
    }
    EventReader events;
    error_.clear();
    last_ = Json();
    for (;;) {
      auto bytes = (*exchange)->read();
      if (!bytes) return complain(bytes.error().message);
      if (bytes->empty()) break;
      events.feed(*bytes, [this](std::string_view data) { show(data); });
      out_.flush();
    }
    dim(false);
    out_ << "\n";
    return error_.empty() || complain(error_);
  }

  void show(std::string_view data) {
    if (data == "[DONE]") return;
    auto json = Json::parse(data);
    if (!json) return;
    if (json->get("error").is_object()) error_ = error_text(std::string(data));
    const Json& choices = json->get("choices");
    if (choices.is_array() && choices.size() > 0) {
      const Json& delta = choices.as_array()[0].get("delta");
      show_text(delta.get("reasoning_content"), true);
      show_text(delta.get("content"), false);
      if (delta.get("content").is_string()) content_ += delta.get("content").as_string();
    } else if (json->get("usage").is_object()) {
      last_ = std::move(*json);
    }
  }

  void show_text(const Json& text, bool reasoning) {
    if (!text.is_string() || text.as_string().empty()) return;
    if (!first_) first_ = Clock::now();
    if (dimmed_ && !reasoning) out_ << "\n";
    dim(reasoning);
    out_ << text.as_string();
  }

  void dim(bool on) {
    if (colour_ && on != dimmed_) out_ << (on ? "\x1b[2m" : "\x1b[0m");
    dimmed_ = on;
  }

  void print_statistics(double total_seconds, double first_seconds) {
    const auto number = [](const Json& value) { return value.to_double().value_or(0.0); };
    const Json& report = last_.get("metrics").get("speculative_decoding");
    const double tokens = number(last_.get("usage").get("completion_tokens"));
    const double seconds = total_seconds - first_seconds;
    const std::string drafter =
        report.get("drafter").is_string() ? report.get("drafter").as_string() : "none";
    if (colour_) out_ << "\x1b[2m";
    out_ << fmt::format(
        "[{} tokens in {} steps, {:.2f} per step; {} drafted {}, {:.0f} % accepted; first after {:.0f} ms, "
        "{:.1f} "
        "tokens/s]",
        tokens, number(report.get("num_spec_steps")), number(report.get("mean_acceptance_length")), drafter,
        number(report.get("num_draft_tokens")), 100.0 * number(report.get("draft_acceptance_rate")),
        1e3 * first_seconds, seconds > 0.0 ? (tokens - 1.0) / seconds : 0.0);
    if (colour_) out_ << "\x1b[0m";
    out_ << "\n";
  }

  using Clock = std::chrono::steady_clock;
  ChatOptions options_;
  Url url_;
  std::ostream& out_;
  bool colour_;
  Json turns_ = Json::array();
  std::string content_;
  std::string error_;
  Json last_;  // the chunk with the usage
  std::optional<Clock::time_point> first_;
  bool dimmed_ = false;
};

}  // namespace

int run_chat(const ChatOptions& options, std::istream& in, std::ostream& out, bool colour) {
  auto url = parse_url(options.url);
  if (!url) {
    out << "error: " << url.error().message << "\n";
    return 2;
  }
  Conversation conversation(options, std::move(*url), out, colour);
  if (!conversation.choose_model()) return 2;
  std::string line;
  for (;;) {
    out << "> " << std::flush;
    if (!std::getline(in, line) || !conversation.take(line)) return 0;
  }
}

}  // namespace ft::server
