/* Another librumpuser.so.0, for the stand-in to be linked with: it refuses every guest. */
int
rumpuser_init(int version, const void *upcalls)
{
	return version + (upcalls != 0);
}
