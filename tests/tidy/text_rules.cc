#include <filesystem>
#include <map>
#include <regex>
#include <set>

#include "tests/tidy/citations.h"
#include "tests/tidy/rules.h"

namespace ft::tidy {
namespace {

namespace fs = std::filesystem;

const std::map<std::string, Book>& books() {
  static const std::map<std::string, Book> all = [] {
    std::map<std::string, Book> found;
    for (const Source& source : source_tree())
      if (source.path.starts_with("docs/spec/")) found.emplace(source.name(), Book(source.text));
    return found;
  }();
  return all;
}

std::vector<Violation> citations_resolve(const Source& source) {
  std::vector<Violation> found;
  for (const Citation& citation : citations(source.comments)) {
    const auto wrong = [&](const std::string& why) {
      found.push_back(
          {line_of(source.comments, citation.offset), citation.before + citation.book + ": " + why});
    };
    const auto book = books().find(citation.book);
    if (book == books().end()) {
      wrong("docs/spec has no such file");
    } else if (!citation.before.empty() && !citation.before.ends_with("spec/")) {
      wrong("the specifications are in docs/spec");
    } else if (citation.parts.empty() && !source.is_markdown()) {
      wrong("cite a section, as in \"model.md 3.2\"");
    } else {
      for (const std::string& part : citation.parts)
        if (!book->second.has(part)) wrong("there is no section or item " + part);
    }
  }
  return found;
}

std::vector<Violation> cited_paths_exist(const Source& source) {
  std::vector<Violation> found = violations_of(source.comments, R"((?:^|[^A-Za-z0-9_./])(?:\.\./)+shared\b)",
                                               "a clone has no such folder");
  static const std::regex path(
      R"((^|[^A-Za-z0-9_./<>-])((?:\.ci|cmake|core|docs|draft|encoding|eval|models|page|scheduler|server|tests|verify)/)"
      R"([A-Za-z0-9_.{},*/-]*[A-Za-z0-9_*}/-]))");
  for (auto match = std::sregex_iterator(source.comments.begin(), source.comments.end(), path);
       match != std::sregex_iterator(); ++match)
    if (!in_repository(match->str(2)))
      found.push_back({line_of(source.comments, static_cast<size_t>(match->position(2))),
                       "the repository has no " + match->str(2)});
  return found;
}

// The anchor that Markdown gives a heading: lower case, - for a space, without punctuation.
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char c : heading) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == ' ') anchor += '-';
    if (std::isalnum(byte) || c == '-' || c == '_' || byte >= 0x80)
      anchor += static_cast<char>(std::tolower(byte));
  }
  return anchor;
}

bool has_anchor(const std::string& markdown, const std::string& anchor) {
  static const std::regex heading(R"((?:^|\n)#+ ([^\n]*))");
  for (auto match = std::sregex_iterator(markdown.begin(), markdown.end(), heading);
       match != std::sregex_iterator(); ++match)
    if (anchor_of(match->str(1)) == anchor) return true;
  return false;
}

std::vector<Violation> links_resolve(const Source& source) {
  std::vector<Violation> found;
  if (!source.is_markdown()) return found;
  static const std::regex link(R"(\]\(([^)#\s]*)#?([^)\s]*)\))");
  for (auto match = std::sregex_iterator(source.text.begin(), source.text.end(), link);
       match != std::sregex_iterator(); ++match) {
    const std::string target = match->str(1);
    if (target.starts_with("https://") || target.starts_with("http://")) continue;
    const fs::path path = target.empty() ? fs::path(source.path)
                                         : (fs::path(source.path).parent_path() / target).lexically_normal();
    const auto wrong = [&] {
      found.push_back({line_of(source.text, static_cast<size_t>(match->position())),
                       "a link leads nowhere: " + match->str()});
    };
    if (!target.empty() && !in_repository(path.string())) {
      wrong();
    } else if (!match->str(2).empty()) {
      std::string markdown = source.text;
      for (const Source& other : source_tree())
        if (!target.empty() && other.path == path) markdown = other.text;
      if (!has_anchor(markdown, match->str(2))) wrong();
    }
  }
  return found;
}

}  // namespace

std::vector<Rule> text_rules() {
  return {
      {"NothingIsLeftUnfinished",
       [](const Source& source) {
         return violations_of(source.comments, R"(\b(?:TODO|FIXME)\b)",
                              "finish it, or write it down as an issue");
       },
       {{"core/a.cc", "int a;  // TODO: b\n"}, {"cmake/a.cmake", "# FIXME\n"}, {"README.md", "A TODO\n"}},
       {{"core/a.cc", "int TODO;\n"}}},

      {"FilesEndWithALineBreak",
       [](const Source& source) -> std::vector<Violation> {
         if (source.text.ends_with('\n') && !source.text.ends_with("\n\n")) return {};
         return {{0, "ends with one line break"}};
       },
       {{"core/a.cc", "int a;"}, {"README.md", "A\n\n"}, {"core/a.cc", ""}},
       {{"core/a.cc", "int a;\n"}}},

      {"CitationsResolve",
       citations_resolve,
       {{"core/a.h", "// model.md 3.99\n"},
        {"core/a.h", "// model.md 3.2.99\n"},
        {"core/a.h", "// (model.md\n// 3.99)\n"},
        {"core/a.h", "// model.md 3.1, 3.99\n"},
        {"core/a.h", "// model.md 3.2.1-9\n"},
        {"core/a.h", "// dspark.md sections 1 and 99\n"},
        {"core/a.h", "// dspark.md 1.1 to 1.99\n"},
        {"core/a.h", "// dspark.md 6.3z\n"},
        {"core/a.h", "// encoding.md appendices A and Q\n"},
        {"core/a.h", "// see encoding.md\n"},
        {"core/a.h", "// reference/encoding.md section 1\n"},
        {"cmake/a.cmake", "# tokenizer.md 99\n"},
        {"README.md", "model.md 99\n"}},
       {{"core/a.h", "// model.md 3.2.4; dspark.md 1.1 to 1.5, 7 \"prefix cache\"\n"},
        {"core/a.h", "// (model.md section\n// 3.2.1-4) and dspark.md 2.4, 6.3b\n"},
        {"core/a.h", "// docs/spec/encoding.md sections 7, 9 and appendices A, B\n"},
        {"core/a.h", "// dspark.md 3.4: 6, 11.9, 17.6 experts\n"},
        {"core/a.cc", "auto a = \"model.md 99\";\n"},
        {"README.md", "[model.md](docs/spec/model.md)\n"}}},

      {"CitedPathsExist",
       cited_paths_exist,
       {{"core/a.h", "// core/no_such_file.h\n"},
        {"README.md", "`server/{options,no_such_file}.h`\n"},
        {"core/a.h", "// docs/no_such_folder/*.md\n"},
        {"tests/CMakeLists.txt", "# see eval/no_such_file.h.\n"},
        {"core/a.h", "// from ../shared/reference\n"}},
       {{"core/a.h", "// core/check.h, core/{check,model}.h, docs/spec/*.md, tests/data/goldens/\n"},
        {"core/a.h", "// other/core/no_such_file.h, vllm/server/no_such_file.py\n"},
        {"core/a.cc", "auto a = \"core/no_such_file.h\";\n"}}},

      {"LinksResolve",
       links_resolve,
       {{"README.md", "[a](docs/no_such_file.md)\n"},
        {"docs/cuda.md", "[a](docs/cuda.md)\n"},
        {"README.md", "# A heading\n[a](#another-heading)\n"},
        {"README.md", "[a](docs/spec/model.md#no-such-heading)\n"}},
       {{"README.md",
         "# A heading, `b`\n[a](#a-heading-b) [b](ARCHITECTURE.md) [c](https://example.org/c)\n"},
        {"docs/cuda.md", "[a](spec/model.md#1-configuration) [b](../README.md)\n"}}},
  };
}

}  // namespace ft::tidy
