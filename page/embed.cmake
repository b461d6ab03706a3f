# cmake -DPAGE=page.html.gz -DPOLICY=policy.txt -DOUT=embedded_page.cc -P embed.cmake: the page as C++ source.
file(READ ${PAGE} bytes HEX)
file(SHA256 ${PAGE} hash)
string(SUBSTRING ${hash} 0 16 hash)
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" bytes "${bytes}")
file(READ ${POLICY} policy)
string(STRIP "${policy}" policy)
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT [[
#include "server/page/embedded_page.h"

namespace ft::server {
namespace {

constexpr unsigned char kBytes[] = {
@bytes@};

}  // namespace

const EmbeddedPage kEmbeddedPage = {
    {reinterpret_cast<const char*>(kBytes), sizeof(kBytes)}, R"(@policy@)", "@hash@"};

}  // namespace ft::server
]])
