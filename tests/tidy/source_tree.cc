#include "tests/tidy/source_tree.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace ft::tidy {
namespace {

namespace fs = std::filesystem;

enum class Span { kCode, kComment, kLiteral };

// Calls visit(kind, begin, end) for spans that cover `text` in order. The quotes of a literal count as code.
template <typename Visit>
void each_span(std::string_view text, const Visit& visit) {
  size_t code = 0;  // where the code before the next comment or literal begins
  size_t i = 0;
  const auto found = [&](Span kind, size_t begin, size_t end) {
    if (begin > code) visit(Span::kCode, code, begin);
    if (end > begin) visit(kind, begin, end);
    code = end;
    i = std::max(end, i + 1);
  };
  while (i < text.size()) {
    if (text.substr(i, 2) == "//") {
      found(Span::kComment, i, std::min(text.find('\n', i), text.size()));
    } else if (text.substr(i, 2) == "/*") {
      found(Span::kComment, i, std::min(text.find("*/", i + 2), text.size() - 2) + 2);
    } else if (text.substr(i, 2) == "R\"") {
      const size_t open = text.find('(', i);
      const std::string close = ")" + std::string(text.substr(i + 2, open - i - 2)) + "\"";
      found(Span::kLiteral, i, std::min(text.find(close, open), text.size() - close.size()) + close.size());
    } else if (text[i] == '"' ||
               // not the separator of 1'000
               (text[i] == '\'' && (i == 0 || !std::isalnum(static_cast<unsigned char>(text[i - 1]))))) {
      size_t end = i + 1;
      while (end < text.size() && text[end] != text[i] && text[end] != '\n') end += text[end] == '\\' ? 2 : 1;
      end = std::min(end, text.size());
      found(Span::kLiteral, i + 1, end);
      i = end + 1;
    } else {
      ++i;
    }
  }
  if (code < text.size()) visit(Span::kCode, code, text.size());
}

void blank(std::string& text, size_t begin, size_t end) {
  for (size_t i = begin; i < end; ++i)
    if (text[i] != '\n') text[i] = ' ';
}

// What stands behind # in CMake, shell and Python. A # inside of a string reads as a comment too.
std::string hash_comments(std::string_view text) {
  std::string comments(text);
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    blank(comments, begin, std::min(text.find('#', begin), end - 1) + 1);
    begin = end + 1;
  }
  return comments;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

bool is_written_by_people(const fs::path& path) {
  static const std::set<std::string> kinds = {".h", ".cc", ".cu", ".cuh", ".cmake", ".md", ".sh", ".py"};
  return kinds.contains(path.extension().string()) || path.filename() == "CMakeLists.txt" ||
         path.filename() == "foretoken" || path == fs::path(FT_SOURCE) / ".ci" / "run";
}

// Whether `name` fits `pattern`, in which * stands for any characters.
bool fits(std::string_view name, std::string_view pattern) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return name == pattern;
  if (!name.starts_with(pattern.substr(0, star))) return false;
  for (size_t i = star; i <= name.size(); ++i)
    if (fits(name.substr(i), pattern.substr(star + 1))) return true;
  return false;
}

bool exists_below(const fs::path& folder, std::string_view path) {
  const size_t slash = path.find('/');
  const std::string_view part = path.substr(0, slash);
  if (part.empty()) return fs::is_directory(folder);
  if (!fs::is_directory(folder)) return false;
  for (const auto& entry : fs::directory_iterator(folder))
    if (fits(entry.path().filename().string(), part) &&
        (slash == std::string_view::npos || exists_below(entry.path(), path.substr(slash + 1))))
      return true;
  return false;
}

}  // namespace

Source::Source(std::string path_from_root, std::string whole)
    : path(std::move(path_from_root)), text(std::move(whole)) {
  if (is_cpp()) {
    code = code_of(text);
    comments = comments_of(text);
  } else {
    comments = is_markdown() ? text : hash_comments(text);
  }
}

bool Source::is_cpp() const {
  return is_header() || path.ends_with(".cc") || path.ends_with(".cu");
}

std::string code_of(std::string_view text) {
  std::string code(text);
  each_span(text, [&](Span kind, size_t begin, size_t end) {
    if (kind != Span::kCode) blank(code, begin, end);
  });
  return code;
}

std::string comments_of(std::string_view text) {
  std::string comments(text);
  each_span(text, [&](Span kind, size_t begin, size_t end) {
    blank(comments, begin, kind == Span::kComment ? begin + 2 : end);
  });
  return comments;
}

const std::vector<Source>& source_tree() {
  static const std::vector<Source> all = [] {
    const fs::path root = FT_SOURCE;
    std::vector<Source> found;
    for (auto entry = fs::recursive_directory_iterator(root); entry != fs::end(entry); ++entry) {
      const std::string path = fs::relative(entry->path(), root).string();
      if (path == "build" || path == ".git" || entry->path().filename() == "node_modules")
        entry.disable_recursion_pending();
      if (entry->is_regular_file() && is_written_by_people(entry->path()))
        found.emplace_back(path, read_file(entry->path()));
    }
    std::ranges::sort(found, {}, &Source::path);
    return found;
  }();
  return all;
}

bool in_repository(std::string_view path) {
  const size_t open = path.find('{');
  const size_t close = path.find('}', open);
  if (open != std::string_view::npos && close != std::string_view::npos) {
    std::istringstream choices{std::string(path.substr(open + 1, close - open - 1))};
    for (std::string choice; std::getline(choices, choice, ',');)
      if (!in_repository(std::string(path.substr(0, open)) + choice + std::string(path.substr(close + 1))))
        return false;
    return true;
  }
  return exists_below(FT_SOURCE, path);
}

int line_of(std::string_view text, size_t offset) {
  return 1 + static_cast<int>(std::ranges::count(text.substr(0, offset), '\n'));
}

}  // namespace ft::tidy
