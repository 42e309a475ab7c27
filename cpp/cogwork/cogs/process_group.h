#pragma once

namespace cogwork {

/// Whether the kernel knows a process of that group, be it one that has ended and that nobody has waited for. Costs a microsecond.
bool group_exists(int group);

/// Whether a process of that group runs. One that has ended stays in its group until its parent has waited for it, and where the parent
/// is gone too, that is for process 1 to do: some do it once a second, some in containers never. So /proc is looked through, which
/// takes milliseconds where there are many processes; without it the answer is that of group_exists.
bool group_runs(int group);

}  // namespace cogwork
