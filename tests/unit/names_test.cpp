// SPDX-License-Identifier: GPL-2.0-or-later
#include "src/model/names.h"

#include "src/base/text.h"
#include "tests/unit/make.h"

namespace mb {
namespace {

using test::message_of;

TEST(Name, TakesLettersDigitsAndThreeMarks) {
  for (const std::string text : {"a", "7", "web", "web-1", "Web_1.x", "0-_."}) EXPECT_EQ(Name::parse(text).str(), text);
  EXPECT_EQ(Name::parse(std::string(63, 'x')).str().size(), 63u);
}

TEST(Name, SaysWhereAndWhyATextIsNone) {
  EXPECT_EQ(message_of([] { Name::parse(""); }), "'' is not a name: it is empty at position 1");
  EXPECT_EQ(message_of([] { Name::parse("-web"); }), "'-web' is not a name: unexpected '-' at position 1");
  EXPECT_EQ(message_of([] { Name::parse("my web"); }), "'my web' is not a name: unexpected ' ' at position 3");
  EXPECT_EQ(message_of([] { Name::parse("a/b"); }), "'a/b' is not a name: unexpected '/' at position 2");
  EXPECT_EQ(message_of([] { Name::parse("a\x1b[31m"); }),
            "'a\\x1b[31m' is not a name: unexpected '\\x1b' at position 2");
  EXPECT_EQ(message_of([] { Name::parse("a\xc3\xa9"); }),
            "'a\xc3\xa9' is not a name: unexpected '\\xc3' at position 2");
  EXPECT_EQ(message_of([] { Name::parse(std::string(64, 'x')); }),
            "'" + std::string(64, 'x') + "' is not a name: it is too long at position 64");
}

TEST(InterfaceName, TakesWhatTheKernelTakes) {
  for (const std::string text : {"e", "eth0", "br-0_.1", "abcdefghijklmno"})
    EXPECT_EQ(InterfaceName::parse(text).str(), text);
}

TEST(InterfaceName, SaysWhereAndWhyATextIsNone) {
  EXPECT_EQ(message_of([] { InterfaceName::parse(""); }), "'' is not an interface name: it is empty at position 1");
  EXPECT_EQ(message_of([] { InterfaceName::parse(".."); }),
            "'..' is not an interface name: it has a meaning of its own in paths at position 1");
  EXPECT_EQ(message_of([] { InterfaceName::parse("a b"); }),
            "'a b' is not an interface name: unexpected ' ' at position 2");
  EXPECT_EQ(message_of([] { InterfaceName::parse("a/b"); }),
            "'a/b' is not an interface name: unexpected '/' at position 2");
  EXPECT_EQ(message_of([] { InterfaceName::parse("a:1"); }),
            "'a:1' is not an interface name: unexpected ':' at position 2");
  EXPECT_EQ(message_of([] { InterfaceName::parse("eth%d"); }),
            "'eth%d' is not an interface name: unexpected '%' at position 4");
  EXPECT_EQ(message_of([] { InterfaceName::parse("abcdefghijklmnop"); }),
            "'abcdefghijklmnop' is not an interface name: it is too long at position 16");
}

// inetdev_init in the kernel's net/ipv4/devinet.c refuses both with EINVAL: they are directories of net.ipv4.conf.
TEST(InterfaceName, RefusesTheNamesOfSysctlDirectories) {
  EXPECT_EQ(message_of([] { InterfaceName::parse("all"); }),
            "'all' is not an interface name: it has a meaning of its own in paths at position 1");
  EXPECT_EQ(message_of([] { InterfaceName::parse("default"); }),
            "'default' is not an interface name: it has a meaning of its own in paths at position 1");
}

TEST(Printable, ShowsWhatATerminalWouldActUpon) {
  EXPECT_EQ(printable("a\tb\x7f"),
            "a\\x09"
            "b\\x7f");
  EXPECT_EQ(printable("grün €"), "grün €");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");  // CSI in 8 bits
}

TEST(Printable, IsAlwaysValidUtf8) {
  EXPECT_EQ(printable("\xff"), "\\xff");
  EXPECT_EQ(printable("a\xc3"), "a\\xc3");
  EXPECT_EQ(printable("\xc0\xaf"), "\\xc0\\xaf");
  EXPECT_EQ(printable("\xed\xa0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(printable("\xf5\x80\x80\x80"), "\\xf5\\x80\\x80\\x80");
}

TEST(Printable, CutsALongTextBetweenCharacters) {
  EXPECT_EQ(printable(std::string(81, 'a')), std::string(80, 'a') + "…");
  EXPECT_EQ(printable(std::string(79, 'a') + "€€"), std::string(79, 'a') + "…");
}

}  // namespace
}  // namespace mb
