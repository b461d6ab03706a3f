#include "tests/tidy/citations.h"

#include <cctype>
#include <regex>
#include <sstream>

namespace ft::tidy {
namespace {

// Reads what follows a book's name, from left to right.
class Reader {
 public:
  Reader(const std::string& text, size_t position) : text_(text), position_(position) {}

  // Moves behind `pattern` if it stands here, and gives its first group.
  bool take(const char* pattern, std::string* group = nullptr) {
    std::smatch match;
    if (!std::regex_search(text_.begin() + static_cast<std::ptrdiff_t>(position_), text_.end(), match,
                           std::regex(pattern), std::regex_constants::match_continuous))
      return false;
    position_ += static_cast<size_t>(match.length());
    if (group != nullptr) *group = match[1];
    return true;
  }

 private:
  const std::string& text_;
  size_t position_;
};

// "4" after "3.2.1": a range within one list.
std::string end_of_range(const std::string& first, const std::string& last) {
  const size_t dot = first.rfind('.');
  return last.find('.') == std::string::npos && dot != std::string::npos ? first.substr(0, dot + 1) + last
                                                                         : last;
}

std::vector<std::string> parts_after(const std::string& text, size_t position) {
  static const char* const number = R"(([0-9]+(?:\.[0-9]+)*[a-z]?)(?![A-Za-z0-9%]))";
  Reader reader(text, position);
  std::vector<std::string> parts;
  bool letters = false;  // behind "appendix" the numbers are letters
  reader.take(R"(,?\s+sections?(?=\s))");
  while (true) {
    if (reader.take(R"(\s*appendi(?:x|ces)(?=\s))")) letters = true;
    std::string part;
    if (!reader.take(letters ? R"(\s+([A-Z])\b)" : (std::string(R"(\s*)") + number).c_str(), &part))
      return parts;
    parts.push_back(part);
    if (reader.take(R"(-(?=[0-9]))")) {
      reader.take(number, &part);
      parts.push_back(end_of_range(parts.back(), part));
    }
    if (!reader.take(R"((?:,(?:\s+and)?|\s+and|\s+to)(?=\s+(?:[0-9]|[A-Z]\b|appendi)))")) return parts;
  }
}

}  // namespace

std::vector<Citation> citations(std::string_view view) {
  const std::string text(view);
  static const std::regex pattern(R"(([A-Za-z0-9_./-]*/)?\b((?:model|dspark|encoding|tokenizer)\.md)\b)");
  std::vector<Citation> found;
  for (auto match = std::sregex_iterator(text.begin(), text.end(), pattern); match != std::sregex_iterator();
       ++match) {
    Citation citation;
    citation.offset = static_cast<size_t>(match->position());
    citation.before = (*match)[1];
    citation.book = (*match)[2];
    citation.parts = parts_after(text, citation.offset + static_cast<size_t>(match->length()));
    found.push_back(std::move(citation));
  }
  return found;
}

Book::Book(std::string_view markdown) {
  static const std::regex heading(R"(^#+ (?:Appendix )?([0-9]+(?:\.[0-9]+)*[a-z]?|[A-Z])[.:]? .*$)");
  std::istringstream lines{std::string(markdown)};
  std::string* section = nullptr;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, heading)) {
      section = &sections_[match[1]];
    } else if (line.starts_with("#")) {
      section = nullptr;
    } else if (section != nullptr) {
      *section += line + "\n";
    }
  }
}

bool Book::has(std::string_view part) const {
  if (sections_.contains(part)) return true;
  const bool lettered = !part.empty() && std::islower(static_cast<unsigned char>(part.back())) != 0;
  const size_t cut = lettered ? part.size() - 1 : part.rfind('.');
  if (cut == std::string_view::npos) return false;
  const auto section = sections_.find(part.substr(0, cut));
  if (section == sections_.end()) return false;
  if (lettered) return section->second.find("(" + std::string(part.substr(cut)) + ")") != std::string::npos;
  return ("\n" + section->second).find("\n" + std::string(part.substr(cut + 1)) + ". ") != std::string::npos;
}

}  // namespace ft::tidy
