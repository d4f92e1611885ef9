/*
 * foreign CALL [A B C D E | PATH …]: one system call by int 0x80, without a libc; exits with its errno, 0 if
 * it succeeds. A number is itself, anything else a string. Built with -m32 -nostdlib -static.
 */
static long call(long nr, long a, long b, long c, long d, long e)
{
	long result;
	__asm__ volatile("int $0x80"
	                 : "=a"(result)
	                 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
	                 : "memory");
	return result;
}

static long number(const char *word)
{
	long value = 0;
	if (*word < '0' || *word > '9')
		return (long)word;
	while (*word)
		value = value * 10 + (*word++ - '0');
	return value;
}

__attribute__((used)) static void run(long *stack)
{
	long words[6] = {0}, count = stack[0];
	char **argv = (char **)(stack + 1);
	for (long i = 1; i < count && i <= 6; i++)
		words[i - 1] = number(argv[i]);
	long result = call(words[0], words[1], words[2], words[3], words[4], words[5]);
	call(1, result < 0 && result > -4096 ? -result : 0, 0, 0, 0, 0);
}

__asm__(".globl _start\n_start:\n\tmov %esp, %eax\n\tpush %eax\n\tcall run\n");
