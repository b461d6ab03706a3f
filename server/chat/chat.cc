#include "server/chat/chat.h"

#include <fmt/format.h>

#include <ostream>
#include <string>
#include <string_view>
#include <utility>

#include "server/chat/conversation.h"

namespace ft::server {
namespace {

struct Command {
  std::string_view name;
  std::string_view argument;
  std::string_view does;
  void (*run)(Conversation& conversation, const std::string& argument);
};

constexpr Command kCommands[] = {
    {"/retry", "", "asks the last question again", [](Conversation& c, const std::string&) { c.retry(); }},
    {"/continue", "", "goes on with a reply that was stopped or cut",
     [](Conversation& c, const std::string&) { c.go_on(); }},
    {"/undo", "", "forgets the last question and its reply",
     [](Conversation& c, const std::string&) { c.undo(); }},
    {"/clear", "", "forgets the conversation", [](Conversation& c, const std::string&) { c.clear(); }},
    {"/history", "", "shows what has been said",
     [](Conversation& c, const std::string&) { c.write_history(); }},
    {"/reasoning", "", "shows what the model thought before its last reply",
     [](Conversation& c, const std::string&) { c.write_reasoning(); }},
    {"/think", "on|off|high|max|default", "sets the thinking mode",
     [](Conversation& c, const std::string& mode) { c.set_thinking(mode); }},
    {"/system", "TEXT", "sets the system message; without TEXT, none",
     [](Conversation& c, const std::string& text) { c.set_system(text); }},
};

void write_help(std::ostream& out) {
  const auto line = [&](std::string_view command, std::string_view argument, std::string_view does) {
    out << fmt::format("  {:32}{}\n", fmt::format("{} {}", command, argument), does);
  };
  for (const Command& command : kCommands) line(command.name, command.argument, command.does);
  line("/help", "", "shows this list");
  line("/exit", "", "leaves; so does the end of the input");
  line("Ctrl-C", "", "stops a reply; at the prompt, leaves");
}

bool is_mode(std::string_view mode) {
  return mode == "on" || mode == "off" || mode == "high" || mode == "max" || mode == "default";
}

// False when the conversation is over.
bool take(const std::string& line, Conversation& conversation, std::ostream& out) {
  if (line == "/exit" || line == "/quit") return false;
  if (line.empty()) return true;
  if (!line.starts_with('/')) {
    conversation.ask(line);
    return true;
  }
  const size_t space = line.find(' ');
  const std::string name = line.substr(0, space);
  const std::string argument = space == std::string::npos ? "" : line.substr(space + 1);
  for (const Command& command : kCommands) {
    if (command.name != name) continue;
    if (name == "/think" && !is_mode(argument)) {
      out << "/think takes " << command.argument << "\n";
    } else {
      command.run(conversation, argument);
    }
    return true;
  }
  if (name != "/help") out << "there is no " << name << ":\n";
  write_help(out);
  return true;
}

}  // namespace

int run_chat(const ChatOptions& options, LineInput& in, std::ostream& out, bool terminal) {
  auto url = parse_url(options.url);
  if (!url) {
    out << "error: " << url.error().message << "\n";
    return 2;
  }
  Conversation conversation(options, std::move(*url), out, terminal);
  if (!conversation.choose_model()) return 2;
  for (;;) {
    const auto line = in.next("> ");
    if (!line || !take(*line, conversation, out)) return 0;
  }
}

}  // namespace ft::server
