// What Python cannot do: system calls by the i386 ABI. Exit 0: it worked.
#include <string.h>

static long i386_call(long number)
{
#if defined(__x86_64__)
	long result;
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number) : "memory", "r8", "r9", "r10", "r11");
	return result;
#else
	(void)number;
	return -1;
#endif
}

int main(int count, char **words)
{
	if (count == 2 && strcmp(words[1], "int80") == 0)
		return i386_call(20) > 0 ? 0 : 1; // getpid of arch/x86/entry/syscalls/syscall_32.tbl
	return 2;
}
