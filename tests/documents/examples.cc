#include "tests/documents/examples.h"

#include <optional>
#include <sstream>
#include <utility>

namespace ft::documents {
namespace {

struct Line {
  int number = 0;
  std::string text;
  bool in_code = false;  // of a block of code
};

std::vector<Line> lines_of(std::string_view markdown) {
  std::vector<Line> lines;
  std::istringstream in{std::string(markdown)};
  bool in_code = false;
  Line line;
  while (std::getline(in, line.text)) {
    ++line.number;
    const bool fence = line.text.starts_with("```");
    line.in_code = in_code && !fence;
    if (fence) in_code = !in_code;
    lines.push_back(line);
  }
  return lines;
}

// The JSON object that begins `text`, or behind curl's -d '.
std::optional<nlohmann::json> request_in(const std::string& code) {
  std::string body = code;
  if (const size_t data = code.find(" -d '"); data != std::string::npos) {
    const size_t begin = data + 5;
    body = code.substr(begin, code.find('\'', begin) - begin);
  }
  auto json = nlohmann::json::parse(body, nullptr, false);
  if (!json.is_object() || !json.contains("messages")) return std::nullopt;
  return json;
}

// Without the backticks around code.
std::string without_code_marks(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != '`') {
      plain += text[i++];
      continue;
    }
    const size_t begin = text.find_first_not_of('`', i);
    if (begin == std::string::npos) break;
    const std::string mark = text.substr(i, begin - i);
    const size_t end = text.find(mark, begin);
    if (end == std::string::npos) return plain + text.substr(i);
    plain += one_line(text.substr(begin, end - begin));
    i = end + mark.size();
  }
  return one_line(plain);
}

// The cells of "| a | b |". A | inside of code is written \|.
std::vector<std::string> cells_of(const std::string& row) {
  std::vector<std::string> cells;
  std::string cell;
  for (size_t i = 1; i < row.size(); ++i) {
    if (row[i] == '\\' && i + 1 < row.size() && row[i + 1] == '|') {
      cell += row[++i];
    } else if (row[i] == '|') {
      cells.push_back(one_line(std::exchange(cell, "")));
    } else {
      cell += row[i];
    }
  }
  return cells;
}

// As a shell splits them: quotes group, # begins a comment.
std::vector<std::string> shell_words(const std::string& line) {
  std::vector<std::string> words;
  std::optional<std::string> word;
  char quote = 0;
  for (const char c : line) {
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        *word += c;
      }
    } else if (c == ' ') {
      if (word) words.push_back(*std::exchange(word, std::nullopt));
    } else if (c == '#' && !word) {
      break;
    } else {
      if (!word) word.emplace();
      if (c == '\'' || c == '"') {
        quote = c;
      } else {
        *word += c;
      }
    }
  }
  if (word) words.push_back(*word);
  return words;
}

}  // namespace

std::vector<Example> examples(const std::string& document, std::string_view markdown) {
  std::vector<Example> found;
  const std::vector<Line> lines = lines_of(markdown);
  bool in_table = false;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string where = document + ":" + std::to_string(lines[i].number);
    if (lines[i].in_code) {
      std::string code;
      for (; i < lines.size() && lines[i].in_code; ++i) code += lines[i].text + "\n";
      auto request = request_in(code);
      if (!request) continue;
      std::string reply;
      while (i + 1 < lines.size() && lines[i + 1].text.empty()) ++i;
      for (; i + 1 < lines.size() && lines[i + 1].text.starts_with("> "); ++i)
        reply += lines[i + 1].text.substr(2) + " ";
      found.push_back({where, std::move(*request), without_code_marks(one_line(reply))});
    } else if (lines[i].text.starts_with("|")) {
      const std::vector<std::string> cells = cells_of(lines[i].text);
      if (cells == std::vector<std::string>{"kind", "question", "reply"}) {
        in_table = true;
        ++i;  // the line of dashes
      } else if (in_table && cells.size() == 3) {
        nlohmann::json request = {{"temperature", 0}};
        request["messages"] = {{{"role", "user"}, {"content", without_code_marks(cells[1])}}};
        if (cells[0].find("(thinking off)") != std::string::npos)
          request["thinking"] = {{"type", "disabled"}};
        found.push_back({where, std::move(request), without_code_marks(cells[2])});
      }
    } else {
      in_table = false;
    }
  }
  return found;
}

std::vector<Command> commands(const std::string& document, std::string_view markdown) {
  static const std::string program = "./foretoken ";
  std::vector<Command> found;
  const auto add = [&](int number, const std::string& line) {
    std::vector<std::string> words = shell_words(line.substr(program.size()));
    found.push_back({document + ":" + std::to_string(number), std::move(words)});
  };
  const std::vector<Line> lines = lines_of(markdown);
  for (size_t i = 0; i < lines.size(); ++i) {
    const int number = lines[i].number;
    if (lines[i].in_code) {
      std::string line = lines[i].text;
      while (line.ends_with("\\") && i + 1 < lines.size())
        line = line.substr(0, line.size() - 1) + lines[++i].text;
      if (line.starts_with(program)) add(number, line);
      continue;
    }
    const std::string& text = lines[i].text;
    for (size_t at = text.find("`" + program); at != std::string::npos; at = text.find("`" + program, at + 1))
      add(number, text.substr(at + 1, text.find('`', at + 1) - at - 1));
  }
  return found;
}

std::string reply_text(const nlohmann::json& message) {
  std::string text;
  if (message.contains("content") && message["content"].is_string()) text = message["content"];
  if (message.contains("tool_calls"))
    for (const auto& call : message["tool_calls"])
      text += (text.empty() ? "calls " : ", calls ") + call["function"]["name"].get<std::string>() +
              " with " + call["function"]["arguments"].get<std::string>();
  return one_line(text);
}

std::string one_line(std::string_view text) {
  std::string line;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    if (!space) line += c;
    if (space && !line.empty() && line.back() != ' ') line += ' ';
  }
  if (line.ends_with(" ")) line.pop_back();
  return line;
}

}  // namespace ft::documents
